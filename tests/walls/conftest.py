from tests.servers.rabbitmq import rabbitmq

__all__ = ["rabbitmq"]
