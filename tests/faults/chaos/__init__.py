"""The service on RabbitMQ, PostgreSQL and SeaweedFS, with the test engine, while its plugs are pulled.

A seed decides everything: the jobs (plans.py), the faults (faults/), their order and their times (run.py). What must
hold at the end stands in checks.py; what is known of each move of each step, in audit.py.
"""
