import assert from "node:assert/strict";
import { test } from "node:test";
import { dnssdFiles, fingerprintOf } from "./announcement.ts";

const what = {
  name: { short: "lunch-feta", full: "lunch-feta-olive" },
  box: "1a2b3c4d",
  version: "0.1.0",
  access: "paired",
  disks: 3,
  hostKey: "SHA256:x%y",
};

test("dnssdFiles tells NVMe hosts and clients of ours where to go", () => {
  const files = dnssdFiles(what);
  assert.equal(
    files.get("nvme.dnssd"),
    "[Service]\nName=lunch-feta-olive\nType=_nvme-disc._tcp\nPort=8009\n" +
      "TxtText=p=tcp nqn=nqn.2014-08.org.nvmexpress.discovery\n",
  );
  assert.equal(
    files.get("diskomator.dnssd"),
    "[Service]\nName=lunch-feta-olive\nType=_diskomator._tcp\nPort=22\n" +
      "TxtText=name=lunch-feta full=lunch-feta-olive box=1a2b3c4d version=0.1.0 access=paired " +
      "disks=3 hostkey=SHA256:x%%y\n",
  );
});

test("dnssdFiles leaves out a host key that is not known yet", () => {
  const text = dnssdFiles({ ...what, hostKey: null }).get("diskomator.dnssd");
  assert.doesNotMatch(text ?? "", /hostkey/);
});

test("fingerprintOf is what ssh-keygen -l prints", () => {
  // The key of the secret 00 01 02 ... 1f; ssh-keygen of OpenSSH 9.2 gave the fingerprint.
  const key =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4 box";
  assert.equal(fingerprintOf(key), "SHA256:lbmsoA0yIEcEiVDRnMWuzm+nV+3ZEEpVIURqFoeSspg");
  for (const none of [null, "", "no key"]) assert.equal(fingerprintOf(none), null);
});
