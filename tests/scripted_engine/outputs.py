"""The files that the test engine leaves: small, of the right names, and real where the service looks into them."""

import json
import os
import struct
import zlib
from hashlib import sha256

PER_VIEW = {
    "FeatureExtraction": ("dspsift.feat", "dspsift.desc"),
    "PrepareDenseScene": ("exr",),
}
PER_VIEW_MAPS = {"DepthMap": ("depthMap.exr", "simMap.exr"), "DepthMapFilter": ("depthMap.exr", "simMap.exr")}
FIXED = {
    "ImageMatching": ("imageMatches.txt",),
    "Meshing": ("mesh.obj", "densePointCloud.abc"),
    "MeshFiltering": ("mesh.obj",),
}
TEXTURE_SIDE = 64


def marker(index):
    """A file that each finished chunk leaves, by which the chunks that read it know that it is there."""
    return f"{index}.done"


def content(chunk, name, size, random):
    """`size` bytes that follow from the chunk (and what it reads) and the file's name, or are different each time."""
    if random:
        return os.urandom(size)
    seed = sha256(f"{chunk.uid}/{chunk.index}/{name}{chunk.inputs_digest}".encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


def write(chunk, random, placed):
    files = {}
    for view in chunk.own_views:
        for ending in PER_VIEW.get(chunk.node_type, ()):
            files[f"{view['viewId']}.{ending}"] = None
        for ending in PER_VIEW_MAPS.get(chunk.node_type, ()):
            files[f"{view['viewId']}_{ending}"] = None
    for name in FIXED.get(chunk.node_type, ()):
        files[name] = None
    if chunk.node_type == "FeatureMatching":
        files[f"{chunk.index}.matches.txt"] = None
    if chunk.node_type == "CameraInit":
        files["cameraInit.sfm"] = scene(chunk, placed=None)
    if chunk.node_type == "StructureFromMotion":
        files |= {"sfm.abc": None, "cameras.sfm": scene(chunk, placed), "stats.json": statistics(chunk, placed)}
    if chunk.node_type == "Texturing":
        files |= {
            "texturedMesh.obj": cube(),
            "texturedMesh.mtl": material(),
            "texture_1001.png": texture(chunk, random),
        }
    for name, data in {**files, marker(chunk.index): chunk.inputs_digest.encode()}.items():
        with open(os.path.join(chunk.folder, name), "wb") as file:
            file.write(content(chunk, name, 200, random) if data is None else data)


def scene(chunk, placed):
    """A scene in AliceVision's JSON format: the first `placed` cameras side by side, facing z; None: no poses."""
    focal = 50.0
    views = [
        {
            "viewId": str(view["viewId"]),
            "poseId": str(view["viewId"]),
            "intrinsicId": "1",
            "path": view["path"],
            "width": "640",
            "height": "480",
            "metadata": {},
        }
        for view in chunk.views
    ]
    intrinsic = {
        "intrinsicId": "1",
        "width": "640",
        "height": "480",
        "sensorWidth": "36",
        "sensorHeight": "27",
        "type": "pinhole",
        "focalLength": str(focal),
        "initialFocalLength": str(focal),
        "pixelRatio": "1",
        "principalPoint": ["0", "0"],
        "locked": "false",
    }
    document = {"version": ["1", "2", "6"], "views": views, "intrinsics": [intrinsic]}
    if placed is not None:
        identity = ["1", "0", "0", "0", "1", "0", "0", "0", "1"]
        document["poses"] = [
            {
                "poseId": view["poseId"],
                "pose": {"transform": {"rotation": identity, "center": [str(index), "0", "-4"]}, "locked": "0"},
            }
            for index, view in enumerate(views[:placed])
        ]
    return json.dumps(document, indent=4).encode()


def statistics(chunk, placed):
    views, count = str(len(chunk.views)), str(placed)
    sfm = {"views": views, "validViews": count, "poses": count, "points": "1000", "residual": "0.4", "time": "0.01"}
    return json.dumps({"sfm": sfm, "hardware": {"cpu": {"freq": "0", "cores": "1"}, "ram": {"size": "0"}}}).encode()


def cube():
    """Twelve triangles, each side with the whole texture."""
    lines = ["mtllib texturedMesh.mtl"]
    lines += [f"v {x} {y} {z}" for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    lines += ["vt 0 0", "vt 1 0", "vt 1 1", "vt 0 1", "usemtl material_1001"]
    for a, b, c, d in ((1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)):
        lines += [f"f {a}/1 {b}/2 {c}/3", f"f {a}/1 {c}/3 {d}/4"]
    return ("\n".join(lines) + "\n").encode()


def material():
    return b"newmtl material_1001\nKa 0.6 0.6 0.6\nKd 0.6 0.6 0.6\nKs 0 0 0\nillum 1\nmap_Kd texture_1001.png\n"


def texture(chunk, random):
    """A PNG (RGB, 8 bit) with squares in a colour that follows from the chunk."""
    colour = content(chunk, "colour", 3, random)
    rows = b""
    for y in range(TEXTURE_SIDE):
        rows += b"\0"
        for x in range(TEXTURE_SIDE):
            rows += colour if (x // 8 + y // 8) % 2 else b"\xf0\xf0\xf0"
    header = struct.pack(">IIBBBBB", TEXTURE_SIDE, TEXTURE_SIDE, 8, 2, 0, 0, 0)
    parts = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
