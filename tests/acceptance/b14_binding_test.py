"""Appendix B, 14: is a wrapped key refused for every other mailbox, DEP and
generation; and is one with a flipped bit called damaged, with an alert, and
never a reason to open the DEP key with the availability key for a user?
"""
import time

import acceptance
from server import USER

binding, Binding = acceptance.helpers("binding_test", "Binding")


class B14(Binding):
    def told_of(self):
        """How many refusals alerts told of so far: what is left out of one
        second is in the first line after it."""
        time.sleep(1)
        bent = bytearray(self.blobs["one"])
        bent[binding.TAG] ^= 1
        self.assertEqual(len(list(self.refused("one", bent, [USER]))), 1)
        return sum(1 + line["lines_left_out"] for line in self.alerts())

    def test_b14_a_blob_is_good_for_one_place(self):
        """R-2.4, R-2.16, R-2.17, R-15.8, R-6.3"""
        self.assertEqual(len(set(self.keys.values())), len(self.keys))
        # of another mailbox and, among them, of another DEP
        self.all_alike([(box, blob) for box in self.blobs
                        for other, blob in self.blobs.items() if other != box])
        blob = self.blobs["one"]
        self.all_alike([
            ("one", blob[:binding.GENERATION] + b"\0\0\0\2" +
             blob[binding.IV:]),
            ("one", blob[:binding.DEP] +
             self.blobs["third"][binding.DEP:binding.GENERATION] +
             blob[binding.GENERATION:])])
        before = self.told_of()
        for at in (0, binding.SUITE, binding.DEP, binding.GENERATION,
                   binding.IV, binding.SEALED, binding.TAG):
            bent = bytearray(blob)
            bent[at] ^= 0x10
            self.assertEqual(len(list(self.refused("one", bent, [USER]))), 1)
        self.assertEqual(self.told_of(), before + 7 + 1)
        # tearDown: no availability key was used, and each blob opens at home


if __name__ == "__main__":
    acceptance.run()
