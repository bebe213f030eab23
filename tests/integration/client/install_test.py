#!/usr/bin/python3
"""The library as others get it: installed, found by pkg-config, linked shared
and static into a program that includes holdfast.h and nothing else of ours."""
import os
import pathlib
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["HF_BUILD"])
PROGRAM = r"""
#include <holdfast.h>
#include <stdio.h>
int main(void)
{
    struct hf_error error = {0};
    struct hf_client *client = NULL;
    struct hf_secret *secret = NULL;
    const struct hf_settings settings = {.target = "localhost:1",
                                         .ca_file = "/nowhere/ca.pem"};
    if (hf_secret_new("0123", 4, &secret) != HF_CODE_OK ||
        hf_secret_len(secret) != 4) {
        return 1;
    }
    hf_secret_free(secret);
    enum hf_code code = hf_client_open(&settings, &client, &error);
    printf("%s %s\n", hf_code_text(code), error.message);
    hf_error_free(&error);
    return client == NULL ? 0 : 1;
}
"""
SAID = "INVALID_ARGUMENT CA file /nowhere/ca.pem: No such file or directory\n"


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], capture_output=True,
                          text=True, **more)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory(prefix="holdfast-lib-")
        cls.prefix = pathlib.Path(cls.holder.name)
        run("cmake", f"-DCMAKE_INSTALL_PREFIX={cls.prefix}", "-P",
            BUILD / "client" / "lib" / "cmake_install.cmake")
        (cls.prefix / "program.c").write_text(PROGRAM)
        cls.lib = next(cls.prefix.rglob("libholdfast.so")).parent

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def config(self, *words):
        return run("pkg-config", f"--define-variable=prefix={self.prefix}",
                   *words, env=dict(
                       os.environ,
                       PKG_CONFIG_PATH=str(self.lib / "pkgconfig"))).split()

    def compile(self, *libraries, compiler="cc"):
        out = self.prefix / "program"
        run(compiler, "-Wall", "-Wextra", "-Werror", "-o", out,
            self.prefix / "program.c", *self.config("--cflags", "holdfast"),
            *libraries)
        return out

    def test_shared(self):
        out = self.compile(*self.config("--libs", "holdfast"))
        self.assertEqual(run(out, env={"LD_LIBRARY_PATH": str(self.lib)}),
                         SAID)

    def test_static(self):
        out = self.compile(self.lib / "libholdfast.a", "-pthread",
                           *self.config("--libs", "grpc", "libcrypto",
                                        "libprotobuf-c"))
        self.assertEqual(run(out), SAID)

    def test_only_the_promised_names_are_seen(self):
        names = run("nm", "-D", "--defined-only", self.lib / "libholdfast.so")
        seen = {line.split()[-1] for line in names.splitlines()}
        header = (self.prefix / "include" / "holdfast.h").read_text()
        self.assertIn("hf_unwrap_key", seen)
        for name in seen:
            self.assertTrue(name.startswith("hf_"), name)
            self.assertIn(name + "(", header)

    def test_the_header_is_fit_for_cxx(self):
        (self.prefix / "x.cc").write_text("#include <holdfast.h>\n")
        run("c++", "-Wall", "-Wextra", "-Werror", "-c", "-o", "/dev/null",
            self.prefix / "x.cc", *self.config("--cflags", "holdfast"))

    def test_the_contract_comes_along(self):
        for name in ("holdfast/v1/key_service.proto",
                     "google/rpc/status.proto"):
            path = self.prefix / "share" / "holdfast" / "proto" / name
            self.assertTrue(path.exists(), path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
