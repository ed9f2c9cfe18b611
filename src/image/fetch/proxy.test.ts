import assert from "node:assert/strict";
import { test } from "node:test";
import { proxyFor, proxyFromEnvironment } from "./proxy.ts";

test("proxyFromEnvironment reads lower case before upper case, and takes empty for unset", () => {
  assert.deepEqual(
    proxyFromEnvironment({
      http_proxy: "http://low.example.org",
      HTTP_PROXY: "http://up.example.org",
      https_proxy: "",
      NO_PROXY: "a.example.org, .b.example.org",
    }),
    {
      http: "http://low.example.org",
      except: ["a.example.org", ".b.example.org"],
      hosts: {},
    },
  );
});

test("proxyFor follows scheme, exceptions and single hosts", () => {
  const settings = {
    http: "http://h.example.org:3128",
    https: "s.example.org:3128",
    except: ["no.example.org", ".sub.example.org", "*.star.example.org", "port.example.org:8080"],
    hosts: { "own.example.org": "http://own-proxy.example.org", "direct.example.org": "DIRECT" },
  };
  const table: readonly (readonly [string, string | undefined])[] = [
    ["http://m.example.org/x", "http://h.example.org:3128"],
    ["https://m.example.org/x", "http://s.example.org:3128"],
    ["http://no.example.org/", undefined],
    ["http://below.no.example.org/", undefined],
    ["http://casino.example.org/", "http://h.example.org:3128"],
    ["http://sub.example.org/", undefined],
    ["https://x.sub.example.org/", undefined],
    ["https://x.star.example.org/", undefined],
    ["http://port.example.org:8080/", undefined],
    ["http://port.example.org/", "http://h.example.org:3128"],
    ["http://own.example.org/", "http://own-proxy.example.org"],
    ["http://direct.example.org/", undefined],
  ];
  for (const [url, proxy] of table) {
    assert.equal(proxyFor(settings, new URL(url)), proxy, url);
  }
  const all = { http: "http://h.example.org", except: ["*"], hosts: {} };
  assert.equal(proxyFor(all, new URL("http://m.example.org")), undefined);
});
