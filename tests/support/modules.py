"""PKCS#11 modules of Debian that are not SoftHSM, each in a private place, without
systemd and without a trace left: what they start ends with them, by its pid.

tpm2-pkcs11 needs a TPM and, because it keeps every key it has used loaded in it
and a TPM has room for three, a resource manager between: swtpm on a Unix socket,
tpm2-abrmd on a D-Bus of its own.

opencryptoki knows fixed places only: /var/lib, /run and /dev/shm, and a daemon
that owns them. It gets them in a mount and IPC namespace of its own; a command
goes there through nsenter.
"""
import glob
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

START_S = 30
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"


def wait_until(what, condition):
    """Polls: none of these daemons says that it is ready."""
    until = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} within {START_S} s")
        time.sleep(0.02)


class Module:
    """A folder, what is to be started, and how a command gets to the module."""
    package = ""
    so_pin = "sopin-of-tests"
    pin = "userpin1"

    def __init__(self, hsm):
        self.program = hsm
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hf-module-"))
        self.children = []
        # what a vendor's library leaks is not ours to mend
        self.env = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "")
                        + ":detect_leaks=0")
        self.prefix = []
        self.path = ""

    def __enter__(self):
        try:
            self.start()
            for name, text in (("pin", self.pin), ("so.pin", self.so_pin)):
                file = self.folder / name
                file.write_text(text)
                file.chmod(0o600)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            child.terminate()
        for child in reversed(self.children):
            try:
                child.wait(START_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        raise NotImplementedError

    def spawn(self, *command):
        log = open(self.folder / f"{len(self.children)}.log", "wb")
        child = subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=log)
        log.close()
        self.children.append(child)
        return child

    def logs(self):
        return "\n".join(file.read_text(errors="replace")
                         for file in sorted(self.folder.glob("*.log")))

    def hsm(self, *words):
        """holdfast-hsm on this module."""
        return subprocess.run(
            [*self.prefix, self.program, *words, "--module", self.path],
            env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=START_S)

    def with_pin(self, *words):
        return self.hsm(*words, "--pin-file", str(self.folder / "pin"))

    def init(self, label, *more):
        return self.with_pin("token", "init", "--label", label, "--domain", "hq",
                             "--so-pin-file", str(self.folder / "so.pin"), *more)

    def answers(self):
        return self.hsm("token", "list").returncode == 0

    @classmethod
    def version(cls):
        """Upstream's, of the package that is installed."""
        full = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", cls.package],
            check=True, capture_output=True, text=True).stdout
        return full.split(":")[-1].split("-")[0].split("+")[0]


class SoftHsm(Module):
    name = "SoftHSM"
    package = "softhsm2"

    def start(self):
        (self.folder / "tokens").mkdir()
        conf = self.folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {self.folder}/tokens\n"
                        "log.level = ERROR\n")
        self.env["SOFTHSM2_CONF"] = str(conf)
        self.path = SOFTHSM


class Tpm(Module):
    name = "tpm2-pkcs11"
    package = "libtpm2-pkcs11-1"

    def start(self):
        (self.folder / "tpm").mkdir()
        (self.folder / "store").mkdir()
        tpm = self.folder / "tpm.sock"
        bus = self.folder / "bus"
        self.env |= {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={bus}",
                     "TPM2_PKCS11_STORE": str(self.folder / "store"),
                     "TPM2_PKCS11_TCTI": "tabrmd:bus_type=session",
                     "TSS2_LOG": "all+none"}
        self.spawn("swtpm", "socket", "--tpm2", "--tpmstate",
                   f"dir={self.folder}/tpm", "--server",
                   f"type=unixio,path={tpm}", "--ctrl",
                   f"type=unixio,path={tpm}.ctrl", "--flags",
                   "not-need-init,startup-clear")
        self.spawn("dbus-daemon", "--session", "--nofork", "--nopidfile",
                   f"--address=unix:path={bus}")
        wait_until("a TPM and a bus", lambda: tpm.exists() and bus.exists())
        # more than its 27: every key of a process stays loaded
        self.spawn("tpm2-abrmd", "--session", "--allow-root",
                   "--max-transients=100", f"--tcti=swtpm:path={tpm}")
        self.path = glob.glob("/usr/lib/*/pkcs11/libtpm2_pkcs11.so")[0]
        wait_until("tpm2-pkcs11", self.answers)


# The whole of /run is covered: /var/run and /var/lock lead there. The group
# pkcs11 is the user's own: a private root has no other.
OPENCRYPTOKI = r"""
set -e
for place in /run /dev/shm /var/lib/opencryptoki /var/log/opencryptoki; do
    mount -t tmpfs none "$place"
done
for place in /run/lock/opencryptoki /var/lib/opencryptoki; do
    install -d -m 770 "$place" "$place/swtok" "$place/swtok/TOK_OBJ"
done
mount --bind "$1/group" /etc/group
mount --bind "$1/opencryptoki.conf" /etc/opencryptoki/opencryptoki.conf
exec pkcsslotd -f
"""


class Opencryptoki(Module):
    name = "opencryptoki"
    package = "libopencryptoki0"
    so_pin = "87654321"  # of a token that nobody has initialised yet

    def start(self):
        (self.folder / "opencryptoki.conf").write_text(
            "version opencryptoki-3.1\nslot 3\n{\nstdll = libpkcs11_sw.so\n}\n")
        (self.folder / "group").write_text("root:x:0:\npkcs11:x:0:root\n")
        (self.folder / "own.sh").write_text(OPENCRYPTOKI)
        own = ["--mount", "--ipc"]
        if os.geteuid() != 0:
            own += ["--user", "--map-root-user"]
        daemon = self.spawn("unshare", *own, "sh", str(self.folder / "own.sh"),
                            str(self.folder))
        own = [word for word in own if word != "--map-root-user"]
        self.prefix = ["nsenter", f"--target={daemon.pid}", *own, "--"]
        if "--user" in own:
            self.prefix.insert(-1, "--preserve-credentials")
        self.path = glob.glob("/usr/lib/*/libopencryptoki.so.0")[0]
        wait_until("opencryptoki", lambda: self.is_up(daemon))

    def is_up(self, daemon):
        if daemon.poll() is not None:
            raise RuntimeError("pkcsslotd ended; it needs to make a mount "
                               f"namespace: {self.logs()}")
        # before its own namespace is there, the command would run in ours
        return (os.readlink(f"/proc/{daemon.pid}/ns/mnt")
                != os.readlink("/proc/self/ns/mnt")) and self.answers()


ALL = (SoftHsm, Tpm, Opencryptoki)
