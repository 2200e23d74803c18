"""Who asks a running board: not as the board, which would push it off the broker."""

from pathlib import Path

from sensor_adapters.settings import Broker, read_broker

FILE = "operator.toml"


def toml(folder: Path, host: str, port: int, *, tls: bool, certificate: bool) -> str:
    """Return a ``[broker]`` for the operator, which commands take as ``--broker``."""
    lines = ["[broker]", f'host = "{host}"', f"port = {port}", 'username = "operator"']
    lines.append(f'password_file = "{folder}/secrets/operator"')
    if tls:
        lines += ["tls = true", f'ca_file = "{folder}/ca.crt"']
    if certificate:
        lines.append(f'cert_file = "{folder}/clients/operator.crt"')
        lines.append(f'key_file = "{folder}/clients/operator.key"')
    return "\n".join(lines) + "\n"


def as_operator(board: Broker) -> Broker:
    """Return the broker as the operator knows it, where ``access`` made both; else as the board.

    Raises:
        ConfigError: the operator's file is wrong.
    """
    secret = Path(board.password_file)
    file = secret.parent.parent / FILE
    made_here = board.password_file and secret.parent.name == "secrets" and file.is_file()
    return read_broker(file) if made_here else board
