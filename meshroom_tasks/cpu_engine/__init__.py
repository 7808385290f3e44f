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
    planning.py        execution.py  status.py  a graph from a template; one chunk in a child process
    registry.py        nodes/                   node types by name; one file a node type
    links.py           photos.py                references between nodes; what a photo's header says
    node.py            attributes.py  scene.py  what a node is, what it declares, what crosses to the dense half
"""

__version__ = "0.1.0"
