"""The CPU engine: Meshroom's two commands on wheels from PyPI alone (no GPU, no Meshroom, no AliceVision).

    python -m meshroom_tasks.cpu_engine.meshroom_batch --input PHOTOS --pipeline default.mg --save p.mg --compute no
    python -m meshroom_tasks.cpu_engine.meshroom_compute /abs/p.mg --node FeatureExtraction_1 --iteration 0

It plans the same saved graphs, keeps the same `MeshroomCache/<NodeType>/<uid>/` folders with status and log files, and
answers with the same exit codes as Meshroom 2023.3, so whoever drives Meshroom drives this engine. What stands inside
the node folders is its own.

Each node type honours some of Meshroom's attributes, under Meshroom's names, and refuses the others by name at
planning. The table of them, with defaults and allowed values, is made from the declarations themselves:

    python -m meshroom_tasks.cpu_engine.meshroom_batch --list-attributes

Floors, each importing only what stands below it:

    meshroom_batch.py  meshroom_compute.py      the two commands
    planning.py  template.py                    from a template, settings and photos to a saved graph with uids
    execution.py  status.py                     one chunk in a child process; status, log and statistics files
    registry.py  nodes/                         node types by name; one file a node type, declarations only
    colmap.py  sift.py  plane_sweep.py  ...     the methods, as functions on arrays; imported when a node runs
    links.py  photos.py  sfm_data.py  scene.py  references between nodes; photos' headers; what crosses between nodes
    node.py  attributes.py                      what a node type is and what it declares

Same photos, paths and settings give the same uids everywhere, and the same bytes on the same kind of machine.
"""

__version__ = "0.1.0"
