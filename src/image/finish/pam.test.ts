import assert from "node:assert/strict";
import { test } from "node:test";
import { ImageError } from "../error.ts";
import { pamFiles } from "./pam.ts";

const stacks = ["auth", "account", "password", "session", "session-noninteractive"];

/** The profiles of trixie's libpam-runtime and libpam-systemd, as far as they speak to us. */
const profiles: Readonly<Record<string, string>> = {
  unix: `Name: Unix authentication
Default: yes
Priority: 256
Auth-Type: Primary
Auth:
	[success=end default=ignore]	pam_unix.so nullok try_first_pass
Auth-Initial:
	[success=end default=ignore]	pam_unix.so nullok
Account-Type: Primary
Account:
	[success=end new_authtok_reqd=done default=ignore]	pam_unix.so
Account-Initial:
	[success=end new_authtok_reqd=done default=ignore]	pam_unix.so
Session-Type: Additional
Session:
	required	pam_unix.so
Session-Initial:
	required	pam_unix.so
Password-Type: Primary
Password:
	[success=end default=ignore]	pam_unix.so obscure use_authtok try_first_pass yescrypt
Password-Initial:
	[success=end default=ignore]	pam_unix.so obscure yescrypt
`,
  systemd: `Name: Register user sessions in the systemd control group hierarchy
Default: yes
Priority: 0
Session-Interactive-Only: yes
Session-Type: Additional
Session:
	optional	pam_systemd.so
`,
  mkhomedir: `Name: Create home directory on login
Default: no
Priority: 0
Session-Type: Additional
Session:
	optional			pam_mkhomedir.so
`,
};

function template(stack: string): string {
  const type = stack.replace("-noninteractive", "");
  return `# /etc/pam.d/common-${stack}
# here are the per-package modules (the "Primary" block)
$${type}_primary
# here's the fallback if no module succeeds
${type}	requisite			pam_deny.so
# and here are more per-package modules (the "Additional" block)
$${type}_additional
# end of pam-auth-update config
`;
}

function run(extra: Readonly<Record<string, string>> = {}): Map<string, string[]> {
  const contents = new Map(stacks.map((each) => [`usr/share/pam/common-${each}`, template(each)]));
  for (const [name, text] of Object.entries({ ...profiles, ...extra })) {
    contents.set(`usr/share/pam-configs/${name}`, text);
  }
  return new Map(
    pamFiles(contents).map((piece) => {
      assert(piece.type === "file");
      const lines = piece.text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
      return [piece.path.slice("etc/pam.d/common-".length), lines];
    }),
  );
}

/** What pam-auth-update 1.7.0 wrote on a trixie system, trailing blanks included. */
const written: Readonly<Record<string, string[]>> = {
  auth: [
    "auth	[success=1 default=ignore]	pam_unix.so nullok",
    "auth	requisite			pam_deny.so",
  ],
  account: [
    "account	[success=1 new_authtok_reqd=done default=ignore]	pam_unix.so ",
    "account	requisite			pam_deny.so",
  ],
  password: [
    "password	[success=1 default=ignore]	pam_unix.so obscure yescrypt",
    "password	requisite			pam_deny.so",
  ],
  session: [
    "session	[default=1]			pam_permit.so",
    "session	requisite			pam_deny.so",
    "session	required	pam_unix.so ",
    "session	optional	pam_systemd.so ",
  ],
  "session-noninteractive": [
    "session	[default=1]			pam_permit.so",
    "session	requisite			pam_deny.so",
    "session	required	pam_unix.so ",
  ],
};

for (const [stack, lines] of Object.entries(written)) {
  test(`pamFiles writes common-${stack} as pam-auth-update does`, () => {
    assert.deepEqual(run().get(stack), lines);
  });
}

test("pamFiles counts jumps over later modules, and keeps the text around the blocks", () => {
  const extra = `Name: two
Default: yes
Priority: 300
Auth-Type: Primary
Auth-Final:
	[success=end]	pam_two.so
	required	pam_three.so
`;
  assert.deepEqual(run({ extra }).get("auth")?.slice(0, 3), [
    "auth	[success=3]	pam_two.so ",
    "auth	required	pam_three.so ",
    "auth	[success=1 default=ignore]	pam_unix.so nullok try_first_pass",
  ]);
});

test("pamFiles puts the later name first among equal priorities", () => {
  const profile = (module: string) =>
    `Default: yes\nPriority: 300\nAuth-Type: Primary\nAuth:\n\trequired\t${module}\n`;
  const lines = run({ alpha: profile("pam_a.so"), beta: profile("pam_b.so") }).get("auth");
  assert.deepEqual(lines?.slice(0, 2), ["auth	required	pam_b.so ", "auth	required	pam_a.so "]);
});

test("pamFiles refuses a template without its markers and a profile that is none", () => {
  const code = (error: unknown) => error instanceof ImageError && error.code === "package";
  assert.throws(() => pamFiles(new Map([["usr/share/pam/common-auth", "nothing\n"]])), code);
  assert.throws(() => run({ broken: "what\n" }), code);
  assert.throws(() => run({ broken: "Default: yes\nAuth-Type: Primary\nAuth:\n\tbroken\n" }), code);
});
