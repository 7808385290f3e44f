"""A program that writes a textured mesh as USDZ: `python -m meshroom_tasks.results.usd_package PARTS TEXTURES TARGET`.

A binary USD file and its pictures, uncompressed and aligned to 64 bytes, as the USDZ specification (1.3) asks; one mesh
and one UsdPreviewSurface a material. Coordinates are those of the OBJ, y up, a unit a metre.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pxr import Kind, Sdf, Usd, UsdGeom, UsdShade, Vt

from meshroom_tasks.errors import HandoffIncomplete
from meshroom_tasks.results.glb import vertex_normals
from meshroom_tasks.results.textures import embeddable, embeddable_normals, repeats, tile_uvs
from meshroom_tasks.results.usdz import EXIT_INCOMPLETE, MATERIALS, MESH
from meshroom_tasks.results.wavefront import Material, TexturedMesh

_LAYER = "model.usdc"
_ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg"}


def main(parts: Path, textures: Path, target: Path) -> int:
    with np.load(parts / MESH) as arrays:
        mesh = TexturedMesh(**{**arrays, "materials": tuple(arrays["materials"].tolist())})
    materials = {name: Material(**fields) for name, fields in json.loads((parts / MATERIALS).read_text()).items()}
    try:
        write_package(mesh, materials, textures, parts, target)
    except HandoffIncomplete as error:
        print(error)
        return EXIT_INCOMPLETE
    return 0


def write_package(
    mesh: TexturedMesh, materials: Mapping[str, Material], textures: Path, folder: Path, target: Path
) -> None:
    """Write `target`, from parts that are made in `folder`. `textures` is the folder of the materials' textures.

    Shading normals are smooth; materials are matt and two-sided. `HandoffIncomplete` when a texture is missing;
    Tf.ErrorException and BadZipFile where USD does not write.
    """
    layer = _Layer(folder, textures)
    normals = vertex_normals(mesh)
    for number, name in enumerate(mesh.materials):
        faces = np.flatnonzero(mesh.face_material == number)
        layer.add(number, mesh, faces, normals, materials.get(name) or Material(name, None, ()))
    layer.save()
    with Sdf.ZipFileWriter.CreateNew(str(target)) as package:
        for path in (folder / _LAYER, *layer.pictures):
            package.AddFile(str(path), path.name)
    _check(target)


def _check(target: Path) -> None:
    """Raises BadZipFile for a package that is cut off, which is how USD leaves it, without a word, on a full disk."""
    with zipfile.ZipFile(target) as package:
        if (damaged := package.testzip()) is not None:
            raise zipfile.BadZipFile(f"{damaged} is damaged")


class _Layer:
    """The USD file as meshes are added to it, and the pictures that it names."""

    def __init__(self, folder: Path, textures: Path) -> None:
        self.pictures: list[Path] = []
        self._folder = folder
        self._textures = textures
        (folder / _LAYER).unlink(missing_ok=True)
        self._stage = Usd.Stage.CreateNew(str(folder / _LAYER))
        UsdGeom.SetStageUpAxis(self._stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(self._stage, 1.0)
        root = UsdGeom.Xform.Define(self._stage, "/model")
        Usd.ModelAPI(root).SetKind(Kind.Tokens.component)
        self._stage.SetDefaultPrim(root.GetPrim())

    def add(
        self,
        number: int,
        mesh: TexturedMesh,
        faces: NDArray[np.int64],
        normals: NDArray[np.float32],
        material: Material,
    ) -> None:
        used, corners = np.unique(mesh.faces[faces], return_inverse=True)
        points = mesh.vertices[used].astype(np.float32)
        part = UsdGeom.Mesh.Define(self._stage, f"/model/part_{number}")
        part.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(points))
        part.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([points.min(0), points.max(0)])))
        part.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
        part.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(corners.astype(np.int32).ravel()))
        part.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(normals[used]))
        part.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
        part.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
        part.CreateDoubleSidedAttr(True)
        uv = tile_uvs(mesh, faces).astype(np.float32).reshape(-1, 2)
        if material.texture is not None:
            distinct, index = np.unique(uv, axis=0, return_inverse=True)
            st = UsdGeom.PrimvarsAPI(part).CreatePrimvar(
                "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying
            )
            st.Set(Vt.Vec2fArray.FromNumpy(distinct))
            st.SetIndices(Vt.IntArray.FromNumpy(index.astype(np.int32).ravel()))
        UsdShade.MaterialBindingAPI.Apply(part.GetPrim()).Bind(self._material(number, material, repeats(uv)))

    def save(self) -> None:
        self._stage.GetRootLayer().Save()

    def _material(self, number: int, material: Material, repeated: bool) -> Any:
        types = Sdf.ValueTypeNames
        path = f"/model/materials/material_{number}"
        shown = UsdShade.Material.Define(self._stage, path)
        shown.GetPrim().SetDisplayName(material.name or "material")
        surface = self._shader(f"{path}/surface", "UsdPreviewSurface")
        surface.CreateInput("roughness", types.Float).Set(1.0)
        surface.CreateInput("metallic", types.Float).Set(0.0)
        shown.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", types.Token))
        diffuse = surface.CreateInput("diffuseColor", types.Color3f)
        if material.texture is None:
            diffuse.Set((0.43, 0.43, 0.43))
            return shown
        coordinates = self._shader(f"{path}/coordinates", "UsdPrimvarReader_float2")
        coordinates.CreateInput("varname", types.String).Set("st")
        st = coordinates.CreateOutput("result", types.Float2)

        def texture(name: str, content: tuple[bytes, str], space: str) -> Any:
            picture = self._picture(f"{number}_{name}", *content)
            shader = self._shader(f"{path}/{name}", "UsdUVTexture")
            shader.CreateInput("file", types.Asset).Set(picture)
            shader.CreateInput("st", types.Float2).ConnectToSource(st)
            for direction in ("wrapS", "wrapT"):
                shader.CreateInput(direction, types.Token).Set("repeat" if repeated else "clamp")
            shader.CreateInput("sourceColorSpace", types.Token).Set(space)
            return shader

        colour = texture("colour", embeddable(self._textures / material.texture), "sRGB")
        diffuse.ConnectToSource(colour.CreateOutput("rgb", types.Float3))
        if material.normals is not None:
            normal = texture("normal", embeddable_normals(self._textures / material.normals), "raw")
            normal.CreateInput("scale", types.Float4).Set((2.0, 2.0, 2.0, 1.0))
            normal.CreateInput("bias", types.Float4).Set((-1.0, -1.0, -1.0, 0.0))
            surface.CreateInput("normal", types.Normal3f).ConnectToSource(normal.CreateOutput("rgb", types.Float3))
        return shown

    def _shader(self, path: str, kind: str) -> Any:
        shader = UsdShade.Shader.Define(self._stage, path)
        shader.CreateIdAttr(kind)
        return shader

    def _picture(self, name: str, content: bytes, media_type: str) -> str:
        path = self._folder / f"{name}{_ENDINGS[media_type]}"
        path.write_bytes(content)
        self.pictures.append(path)
        return path.name


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
