"""One chunk of a planned graph: what it reads, whether that is there, its status and its log."""

import json
import os
import sys
import time
from hashlib import sha256

import outputs
from planning import links

BOOKKEEPING = ("status", "log")
READS_PHOTOS = {"CameraInit", "FeatureExtraction", "StructureFromMotion", "PrepareDenseScene"}


class Chunk:
    """One chunk of one node of a planned graph: its folder, its files, what it reads."""

    def __init__(self, graph_file, name, iteration):
        with open(graph_file) as file:
            self.graph = json.load(file)["graph"]
        self.name = name
        self.node = self.graph[name]
        self.node_type = self.node["nodeType"]
        self.uid = self.node["uids"]["0"]
        self.iteration = iteration
        self.cache = os.path.join(os.path.dirname(os.path.abspath(graph_file)), "MeshroomCache")
        self.folder = os.path.join(self.cache, self.node_type, self.uid)
        prefix = "" if iteration is None else f"{iteration}."
        self.status_file = os.path.join(self.folder, prefix + "status")
        self.log_file = os.path.join(self.folder, prefix + "log")
        self.inputs_digest = ""
        self.views = next(
            node["inputs"]["viewpoints"] for node in self.graph.values() if node["nodeType"] == "CameraInit"
        )

    @property
    def index(self):
        return self.iteration or 0

    @property
    def plain_inputs(self):
        """Attributes with a number or a text."""
        return {name: value for name, value in self.node["inputs"].items() if not isinstance(value, (list, dict))}

    @property
    def own_views(self):
        """The views of this chunk."""
        size = self.node["parallelization"]["blockSize"] or len(self.views)
        return self.views[self.index * size : (self.index + 1) * size]

    def reads(self):
        """Names of the nodes whose folders this one reads."""
        return sorted(
            {name for value in self.node["inputs"].values() for link in links(value) for name in self._sources(link)}
        )

    def _sources(self, link):
        name, attribute = link
        if attribute in self.graph[name]["outputs"]:
            return {name}
        value = self.graph[name]["inputs"].get(attribute)
        return {source for further in links(value) for source in self._sources(further)}

    def digest_of_inputs(self):
        """A hash of all files that the chunk reads, but for status files and logs, which are of their time."""
        found = sha256()
        for path in self._input_files():
            with open(path, "rb") as file:
                content = file.read()
            found.update(f"{os.path.basename(path)} {len(content)} ".encode() + content)
        return found.hexdigest()

    def _input_files(self):
        for node in (self.graph[name] for name in self.reads()):
            folder = os.path.join(self.cache, node["nodeType"], node["uids"]["0"])
            for name in sorted(os.listdir(folder)):
                if name.rpartition(".")[2] not in BOOKKEEPING:
                    yield os.path.join(folder, name)
        if self.node_type in READS_PHOTOS:
            yield from (view["path"] for view in self.views)

    def problem(self):
        """What is wrong with the cache folder, as a log line; None when it holds exactly the read-set."""
        expected = {(self.node_type, self.uid)}
        for name in self.reads():
            node = self.graph[name]
            expected.add((node["nodeType"], node["uids"]["0"]))
            folder = os.path.join(self.cache, node["nodeType"], node["uids"]["0"])
            for index in range(node["parallelization"]["split"]):
                if not os.path.exists(os.path.join(folder, outputs.marker(index))):
                    return f"Can't find view {self.views[0]['viewId']} region files (chunk {index} of {name})"
        for node_type in os.listdir(self.cache):
            for uid in os.listdir(os.path.join(self.cache, node_type)):
                if (node_type, uid) not in expected:
                    return f"Unexpected folder in the cache: {node_type}/{uid}"
        if self.node_type in READS_PHOTOS:
            for view in self.views:
                if not os.path.exists(view["path"]):
                    return f"Can't open image file {view['path']}"
        return None

    def log(self, *lines):
        with open(self.log_file, "a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def write_status(self, status, return_code=None):
        content = {
            "status": status,
            "nodeName": self.name,
            "nodeType": self.node_type,
            "commandLine": " ".join(sys.argv),
        }
        content["startDateTime"] = time.strftime("%Y-%m-%d %H:%M:%S.000000")
        if return_code is not None:
            content["returnCode"] = return_code
        temporary = f"{self.status_file}.{os.getpid()}"
        with open(temporary, "w") as file:
            json.dump(content, file, indent=4)
        os.replace(temporary, self.status_file)
