"""MeshFiltering: crumbs and stretched faces away, then smoothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from meshroom_tasks.cpu_engine.attributes import BoolParam, ChoiceParam, File, FloatParam, IntParam
from meshroom_tasks.cpu_engine.node import Node, NodeChunk, NodeError

_CRUMB = 0.02
"""Connected parts with a smaller share of the largest one's faces are dropped."""


class MeshFiltering(Node):
    """The mesh without loose small parts and overlong triangles, smoothed so that it does not shrink (mesh.py)."""

    node_type = "MeshFiltering"
    sized_by_views = False
    attributes = (
        File("inputMesh", "Mesh to filter."),
        ChoiceParam("outputMeshFileType", "File type of the mesh.", "ply", values=("ply", "obj")),
        BoolParam("keepLargestMeshOnly", "Keep only the largest connected part.", False),
        IntParam("smoothingIterations", "Rounds of smoothing.", 2, low=0, high=50),
        FloatParam("smoothingLambda", "Size of a smoothing step.", 0.5, low=0, high=1),
        IntParam("filteringIterations", "Rounds of the filter for large triangles.", 1, low=0, high=20),
        FloatParam("filterLargeTrianglesFactor", "Edges longer than this many mean edges go.", 60.0, low=1, high=1000),
    )
    outputs: ClassVar[Mapping[str, str]] = {"outputMesh": "mesh.{outputMeshFileTypeValue}"}

    def process(self, chunk: NodeChunk) -> None:
        from meshroom_tasks.cpu_engine.mesh import compact, large_components, longest_edges, taubin
        from meshroom_tasks.cpu_engine.mesh_files import read_mesh_file, write_mesh_file

        values = chunk.attributes
        vertices, faces = read_mesh_file(chunk.path("inputMesh"))
        if len(faces) == 0:
            raise NodeError("Error: empty mesh from the file " + chunk.path("inputMesh").name)
        given = len(faces)
        for _ in range(values["filteringIterations"]):
            longest = longest_edges(vertices, faces)
            faces = faces[longest <= values["filterLargeTrianglesFactor"] * longest.mean()]
        faces = faces[large_components(faces, 1.0 if values["keepLargestMeshOnly"] else _CRUMB)]
        vertices, faces = compact(vertices, faces)
        chunk.progress(1, 2, f"{len(faces)} of {given} faces kept")
        vertices = taubin(vertices, faces, values["smoothingIterations"], values["smoothingLambda"])
        write_mesh_file(chunk.folder / f"mesh.{values['outputMeshFileType']}", vertices, faces)
        chunk.progress(2, 2, "smoothed")
