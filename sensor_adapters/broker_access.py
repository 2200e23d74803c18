"""How we are let in by the broker, and what is wrong where we are not: passwords, certificates.

No MQTT here: each gate to paho hands its client in. There is no switch that leaves a certificate
unchecked: a broker with one of its own making is trusted by ``broker.ca_file``, one that is reached
by another name by ``broker.server_name``.
"""

import errno
import logging
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, Protocol

from sensor_adapters.settings import Broker, ConfigError

REFUSED = {"Bad user name or password", "Not authorized", "Banned", "Client identifier not valid"}
"""What a broker says, in paho's words, to whom it will never let in as things are."""
CREDENTIALS = "check broker.username and broker.password_file"
NO_TLS = "are broker.tls and broker.port (mostly 8883) right?"
WANTS_TLS = "it hung up before it let us in: does it expect TLS (broker.tls = true)?"
LISTEN_S = 2.0
EXPIRED, NOT_YET = 10, 9
OTHER_AUTHORITY = {2, 18, 19, 20, 21}
OTHER_NAME = {62, 64}
"""OpenSSL's numbers (``X509_V_ERR_…``): host name, address."""


class Client(Protocol):
    """What of paho's client is needed here."""

    def username_pw_set(self, username: str | None, password: str | None = None) -> None:
        """Say who we are."""

    def tls_set_context(self, context: ssl.SSLContext | None = None) -> None:
        """Speak TLS."""

    def enable_logger(self, logger: logging.Logger | None = None) -> None:
        """Tell what goes wrong."""


class _Socket(ssl.SSLSocket):
    """Is closed where nobody is trusted; paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class _Named(ssl.SSLContext):
    """Expects another name than that by which the broker is reached."""

    name = ""

    def wrap_socket(self, sock: socket.socket, *args: Any, **more: Any) -> ssl.SSLSocket:
        return super().wrap_socket(sock, *args, **more | {"server_hostname": self.name})


class Ear(logging.Handler):
    """Keeps the socket's newest error, of which paho tells its callbacks nothing."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.error: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the error that a record is about."""
        args = record.args if isinstance(record.args, tuple) else ()
        self.error = next((one for one in args if isinstance(one, Exception)), self.error)


def context(broker: Broker) -> ssl.SSLContext:
    """Return what TLS to this broker goes by: TLS 1.2 or newer, certificate and name checked.

    Raises:
        ConfigError: a file can not be read, is no certificate, or a key is another's.
    """
    made = _Named(ssl.PROTOCOL_TLS_CLIENT) if broker.server_name else None
    if made is not None:
        made.name = broker.server_name
    found: ssl.SSLContext = made or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.sslsocket_class = _Socket
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if broker.ca_file:
            found.load_verify_locations(broker.ca_file)
        else:
            found.load_default_certs()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"broker.ca_file: {broker.ca_file}: {error.strerror or error}, expected certificates"
            " of authorities (PEM)"
        ) from error
    try:
        if broker.cert_file:  # a password would be asked for at a terminal that is not there
            found.load_cert_chain(broker.cert_file, broker.key_file, lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"broker.cert_file: {broker.cert_file} with {broker.key_file}:"
            f" {getattr(error, 'strerror', None) or error}, expected a certificate and its own key"
            " without a password (PEM)"
        ) from error
    return found


def let_in(client: Client, broker: Broker) -> Ear:
    """Tell a client of paho who we are and what we trust; return what hears why it is not let in.

    Raises:
        ConfigError: the password, a certificate or a key can not be read.
    """
    if broker.username:
        client.username_pw_set(broker.username, broker.password())
    if broker.tls:
        client.tls_set_context(context(broker))
    ear = Ear()
    logger = logging.Logger("paho", logging.ERROR)  # its own: nothing of it is printed
    logger.addHandler(ear)
    client.enable_logger(logger)
    return ear


@dataclass(frozen=True)
class Trouble:
    """Why the broker was not reached."""

    text: str
    is_setting: bool = False
    """A setting is wrong; else it may be well in a while, without a change here."""


def trouble(broker: Broker, error: BaseException | None) -> Trouble:
    """Return what an error says of a broker that we could not connect to, and what to do."""
    where = f"broker {broker.host}:{broker.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrusted(where, broker, error)
    if isinstance(error, ssl.SSLEOFError):  # what was said before may not have been read
        error = _said(broker) or error
    if isinstance(error, ssl.SSLError):
        return _spoken(where, broker, error)
    if broker.tls and isinstance(error, ConnectionError) and error.errno != errno.ECONNREFUSED:
        return Trouble(f"{where} hangs up ({error}); {NO_TLS}")
    return Trouble(f"no broker at {broker.host}:{broker.port} ({error}), expected one to listen")


def _said(broker: Broker) -> ssl.SSLError | None:
    """Return what a broker has against us, by listening to it once without writing a word."""
    name = broker.server_name or broker.host
    try:
        with (
            socket.create_connection((broker.host, broker.port), LISTEN_S) as plain,
            context(broker).wrap_socket(plain, server_hostname=name) as tls,
        ):
            tls.recv(1)
    except ssl.SSLError as error:
        return error
    except (OSError, ConfigError):
        pass
    return None


def _distrusted(where: str, broker: Broker, error: ssl.SSLCertVerificationError) -> Trouble:
    code, said = error.verify_code, error.verify_message
    clock = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    if code == EXPIRED:
        return Trouble(
            f"{where}: its certificate has expired ({said}); renew it at the broker, or set this"
            f" machine's clock: it says {clock} UTC"
        )
    if code == NOT_YET:
        return Trouble(
            f"{where}: its certificate is not valid yet ({said}); this machine's clock says {clock}"
            " UTC: is it set?"
        )
    if code in OTHER_NAME:
        return Trouble(
            f"{where}: its certificate is for another name than {broker.server_name or broker.host}"
            f" ({said}); set broker.host, or broker.server_name, to a name that it holds",
            is_setting=True,
        )
    why = "is of another authority" if code in OTHER_AUTHORITY else "can not be trusted"
    return Trouble(
        f"{where}: its certificate {why} ({said}); broker.ca_file is {broker.ca_file!r}, expected"
        " the certificate of the authority that signed the broker's (empty: one that the system"
        " knows)",
        is_setting=True,
    )


def _spoken(where: str, broker: Broker, error: ssl.SSLError) -> Trouble:
    reason = (error.reason or str(error)).upper()
    if "ALERT" in reason:
        if "CERTIFICATE_EXPIRED" in reason:
            return Trouble(
                f"{where}: broker.cert_file {broker.cert_file} has expired, expected a new one",
                is_setting=True,
            )
        if not broker.cert_file and ("CERTIFICATE_REQUIRED" in reason or "HANDSHAKE" in reason):
            return Trouble(
                f"{where}: it asks for a certificate of ours; set broker.cert_file and"
                " broker.key_file",
                is_setting=True,
            )
        if any(word in reason for word in ("UNKNOWN_CA", "CERTIFICATE", "DECRYPT")):
            return Trouble(
                f"{where}: it does not accept broker.cert_file {broker.cert_file} ({reason.lower()}"
                "), expected one of the authority that it trusts",
                is_setting=True,
            )
    return Trouble(f"{where} does not speak TLS as we do ({error.reason or error}); {NO_TLS}")
