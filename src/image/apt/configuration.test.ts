import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { parseAptConfiguration, proxyFromApt } from "./configuration.ts";
import { findProxy } from "./driver-apt.ts";

test("parseAptConfiguration reads flat and nested forms, lists and comments", () => {
  const text = `
// Acquire::http::Proxy "http://comment.example.org";
# Acquire::http::Proxy "http://comment.example.org";
/* Acquire::http::Proxy "http://comment.example.org"; */
APT "";
APT::Architectures { "amd64"; "i386"; };
Acquire::http::Proxy "http://p.example.org:3128/";
Acquire { https { Proxy "http://s.example.org:3128"; Timeout 30; }; Retries "3"; };
Acquire::http::Proxy::local.example.org "DIRECT";
`;
  const values = parseAptConfiguration(text);
  assert.equal(values.get("acquire::http::proxy"), "http://p.example.org:3128/");
  assert.equal(values.get("acquire::https::proxy"), "http://s.example.org:3128");
  assert.equal(values.get("acquire::https::timeout"), "30");
  assert.equal(values.get("acquire::retries"), "3");
  assert.equal(values.get("acquire::http::proxy::local.example.org"), "DIRECT");
});

test("parseAptConfiguration gives values for any text", () => {
  const text = fc.string({ unit: fc.constantFrom(...'A:{};"/*# \n'), maxLength: 60 });
  fc.assert(
    fc.property(text, (value) => {
      assert.ok(parseAptConfiguration(value) instanceof Map);
    }),
    { seed: 20261123, numRuns: 2000 },
  );
});

test("proxyFromApt puts apt's settings over those of the environment", () => {
  const environment = { http: "http://e.example.org", except: ["x.example.org"], hosts: {} };
  assert.deepEqual(proxyFromApt(new Map(), environment), environment);
  const values = parseAptConfiguration(
    'Acquire::http::Proxy "http://p.example.org"; Acquire::http::Proxy::h.example.org "DIRECT";',
  );
  assert.deepEqual(proxyFromApt(values, environment), {
    http: "http://p.example.org",
    https: "http://p.example.org",
    except: ["x.example.org"],
    hosts: { "h.example.org": "DIRECT" },
  });
});

test("findProxy reads configuration folders where it is told one", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "diskomator-apt-"));
  t.after(() => rm(directory, { recursive: true }));
  await mkdir(join(directory, "apt.conf.d"));
  await writeFile(
    join(directory, "apt.conf.d", "10proxy"),
    'Acquire::http::Proxy "http://p.example.org:8080";\n',
  );
  const proxy = await findProxy({ except: [], hosts: {} }, { directory });
  assert.equal(proxy.http, "http://p.example.org:8080");
});
