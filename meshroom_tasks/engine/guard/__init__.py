"""What runs beside a worker process: a fork server and its wardens. Executed by its path, without the service."""
