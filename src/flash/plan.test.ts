import assert from "node:assert/strict";
import { test } from "node:test";
import type { ImageFacts } from "./image.ts";
import type { Ownership } from "./look.ts";
import {
  confirms,
  type PlanOptions,
  type PlanTarget,
  planFlash,
  type RefusalCode,
} from "./plan.ts";
import type { DiskIdentity } from "./target.ts";

const image: ImageFacts = {
  name: "os.raw",
  packing: [],
  sizeBytes: 4096 * 1000,
  sizeBytesMin: 4096 * 1000,
  expectedBytes: undefined,
  dataBytes: undefined,
  sectorSizeBytes: 512,
  diskGuid: "11111111-2222-3333-4444-555555555555",
  contents: "GPT",
  checkedBy: ["os.raw.sha256"],
  notes: [],
  savedBlockBytes: undefined,
};
const identity: DiskIdentity = {
  serial: "S6Z1NJ0W1",
  model: "990",
  uuid: "a",
  sizeBytes: 4096 * 2000,
  blockSizeBytes: 512,
};
const mark = { name: "old.raw", sha256: new Uint8Array(32), sizeBytes: 1 };
const ours: Ownership = { kind: "ours", mark };
const edited: Ownership = { kind: "edited", mark };
const foreign: Ownership = { kind: "foreign" };
const unfinished: Ownership = {
  kind: "unfinished",
  what: { imageName: "os.raw", sizeBytes: undefined },
};
const options: PlanOptions = {
  confirmed: [],
  isYes: false,
  needsChecksum: false,
  isGrown: false,
  isVerified: true,
};

function targetWith(
  found: Partial<DiskIdentity> = {},
  changes: Partial<PlanTarget> = {},
  ownership: Ownership = { kind: "blank" },
): PlanTarget {
  return {
    name: "box:disk",
    chosen: { ...identity, ...found },
    found: { ...identity, ...found },
    readOnly: false,
    inUseBy: undefined,
    facts: { ownership, contents: 'Windows: NTFS "OS"', diskGuid: undefined },
    ...changes,
  };
}

interface Case {
  readonly title: string;
  readonly wanted: readonly RefusalCode[];
  readonly says?: RegExp;
  readonly image?: Partial<ImageFacts>;
  readonly target?: PlanTarget;
  readonly options?: Partial<PlanOptions>;
}

const confirmed = (...given: string[]) => ({ confirmed: given });
const cases: readonly Case[] = [
  { title: "a blank disk", wanted: [] },
  {
    title: "a disk that is too small",
    wanted: ["too-small"],
    says: /the image is 3\.9 MiB .* and the disk 1\.0 MiB .* Choose a larger disk/,
    target: targetWith({ sizeBytes: 1024 * 1024 }),
  },
  {
    title: "a disk that is one block too small",
    wanted: ["too-small"],
    target: targetWith({ sizeBytes: 4096 * 1000 - 512 }),
  },
  { title: "a disk of the same size", wanted: [], target: targetWith({ sizeBytes: 4096 * 1000 }) },
  {
    title: "an image of unknown length whose table does not fit",
    wanted: ["too-small"],
    says: /at least/,
    image: { sizeBytes: undefined, sizeBytesMin: 4096 * 3000 },
  },
  {
    title: "an image for 512-byte sectors on a 4Kn disk",
    wanted: ["sector-size"],
    says: /4096-byte sectors .*choose a disk with 512.*nvme format --lbaf/s,
    target: targetWith({ blockSizeBytes: 4096 }),
  },
  {
    title: "an image without a table on a 4Kn disk",
    wanted: [],
    image: { sectorSizeBytes: undefined },
    target: targetWith({ blockSizeBytes: 4096 }),
  },
  {
    title: "a backup of a disk with other blocks",
    wanted: ["saved-block-size"],
    image: { sectorSizeBytes: undefined, savedBlockBytes: 4096 },
  },
  {
    title: "a disk that is in use",
    wanted: ["in-use"],
    says: /mounted at \/home/,
    target: targetWith({}, { inUseBy: "mounted at /home" }),
  },
  {
    title: "a write protected disk",
    wanted: ["read-only"],
    target: targetWith({}, { readOnly: true }),
  },
  {
    title: "a disk that took the place of the chosen one",
    wanted: ["identity-changed"],
    says: /its serial is S6Z1NJ0W1, it was OTHER/,
    target: targetWith({}, { chosen: { ...identity, serial: "OTHER" } }),
  },
  {
    title: "an image that nothing vouches for, where that is demanded",
    wanted: ["checksum-missing"],
    image: { checkedBy: [] },
    options: { needsChecksum: true },
  },
  {
    title: "an image that a checksum vouches for, where that is demanded",
    wanted: [],
    options: { needsChecksum: true },
  },
  {
    title: "growing without a GPT",
    wanted: ["nothing-to-grow"],
    image: { sectorSizeBytes: undefined },
    options: { isGrown: true },
  },
  { title: "the disk to copy from", wanted: ["same-disk"], options: { source: identity } },
  {
    title: "foreign contents",
    wanted: ["needs-confirmation"],
    says: /it holds Windows: NTFS "OS".*--confirm=S6Z1NJ0W1/,
    target: targetWith({}, {}, foreign),
  },
  {
    title: "foreign contents with --yes",
    wanted: ["needs-confirmation"],
    says: /--yes is only for disks that diskomator wrote/,
    target: targetWith({}, {}, foreign),
    options: { isYes: true },
  },
  {
    title: "foreign contents, confirmed by serial number",
    wanted: [],
    target: targetWith({}, {}, foreign),
    options: confirmed("S6Z1NJ0W1"),
  },
  {
    title: "foreign contents, confirmed by the last four characters",
    wanted: [],
    target: targetWith({}, {}, foreign),
    options: confirmed("J0W1"),
  },
  {
    title: "foreign contents, another disk confirmed",
    wanted: ["wrong-confirmation"],
    says: /its serial number is S6Z1NJ0W1, not S7/,
    target: targetWith({}, {}, foreign),
    options: confirmed("S7"),
  },
  {
    title: "foreign contents on a disk without a serial number",
    wanted: ["wrong-confirmation"],
    target: targetWith({ serial: "" }, {}, foreign),
    options: confirmed(""),
  },
  {
    title: "our own image",
    wanted: ["needs-confirmation"],
    target: targetWith({}, {}, ours),
  },
  {
    title: "our own image with --yes",
    wanted: [],
    target: targetWith({}, {}, ours),
    options: { isYes: true },
  },
  {
    title: "our own image whose table was edited, with --yes",
    wanted: ["needs-confirmation"],
    says: /its partition table was edited since diskomator wrote it/,
    target: targetWith({}, {}, edited),
    options: { isYes: true },
  },
  {
    title: "our own image whose table was edited, with --yes, where images do that",
    wanted: [],
    target: targetWith({}, {}, edited),
    options: { isYes: true, isEditedOurs: true },
  },
  {
    title: "our own image whose table was edited, without --yes",
    wanted: ["needs-confirmation"],
    target: targetWith({}, {}, edited),
    options: { isEditedOurs: true },
  },
  {
    title: "foreign contents of a disk that was confirmed before",
    wanted: [],
    target: targetWith({}, { isConfirmed: true }, foreign),
  },
  {
    title: "our own unfinished image with --yes",
    wanted: [],
    target: targetWith({}, {}, unfinished),
    options: { isYes: true },
  },
  {
    title: "the file that the image is read from",
    wanted: ["same-disk"],
    says: /it is the image itself/,
    image: { place: "file 1:2" },
    target: targetWith({ place: "file 1:2" }),
  },
  {
    title: "the file to copy from, by another name",
    wanted: ["same-disk"],
    target: targetWith({ serial: "linked.raw", place: "file 1:2" }),
    options: { source: { ...identity, serial: "disk.raw", place: "file 1:2" } },
  },
  {
    title: "another file of the same name and size as the one to copy from",
    wanted: [],
    target: targetWith({ place: "file 1:2" }),
    options: { source: { ...identity, place: "file 1:3" } },
  },
  {
    title: "everything at once",
    wanted: [
      "identity-changed",
      "too-small",
      "sector-size",
      "read-only",
      "in-use",
      "needs-confirmation",
    ],
    target: targetWith(
      { sizeBytes: 4096, blockSizeBytes: 4096 },
      { readOnly: true, inUseBy: "swap", chosen: identity },
      foreign,
    ),
  },
];

test("planFlash refuses what it must, all reasons at once, and nothing else", () => {
  for (const { title, wanted, says, ...given } of cases) {
    const [plan] = planFlash({ ...image, ...given.image }, [given.target ?? targetWith()], {
      ...options,
      ...given.options,
    });
    const refusals = plan?.kind === "refused" ? plan.refusals : [];
    assert.deepEqual(
      refusals.map(({ code }) => code),
      wanted,
      title,
    );
    for (const { message } of refusals) assert.match(message, /^Cannot flash box:disk: /);
    if (says) assert.match(refusals.map(({ message }) => message).join("\n"), says, title);
  }
});

test("planFlash refuses the second naming of one disk", () => {
  const plans = planFlash(image, [targetWith(), targetWith({}, { name: "again" })], options);
  assert.equal(plans[0]?.kind, "steps");
  assert.equal(plans[1]?.kind === "refused" && plans[1].refusals[0]?.code, "duplicate-target");
});

test("planFlash takes files of one name in two folders apart, and two names of one file together", () => {
  const named = (serial: string, place: string) => targetWith({ serial, place });
  const first = named("disk.raw", "file 1:2");
  const second = named("disk.raw", "file 1:3");
  const again = named("linked.raw", "file 1:2");
  const kinds = planFlash(image, [first, second, again], options).map(({ kind }) => kind);
  assert.deepEqual(kinds, ["steps", "steps", "refused"]);
});

test("planFlash takes two disks of the same model with different serial numbers apart", () => {
  const other = targetWith({ serial: "S6Z1NJ0W2", uuid: "b" }, {}, foreign);
  const plans = planFlash(image, [targetWith({}, {}, foreign), other], {
    ...options,
    ...confirmed("S6Z1NJ0W2"),
  });
  assert.equal(plans[0]?.kind === "refused" && plans[0].refusals[0]?.code, "wrong-confirmation");
  assert.equal(plans[1]?.kind, "steps");
});

test("planFlash orders the steps so that the ends come last, and verifies unless told not to", () => {
  const [plan] = planFlash(image, [targetWith()], options);
  assert.deepEqual(plan?.kind === "steps" && plan.steps, [
    "confirm-identity",
    "clear-ends",
    "write-body",
    "flush",
    "verify-body",
    "write-ends",
    "verify-ends",
  ]);
  const [quick] = planFlash(image, [targetWith()], { ...options, isVerified: false });
  assert.deepEqual(quick?.kind === "steps" && quick.steps, [
    "confirm-identity",
    "clear-ends",
    "write-body",
    "flush",
    "write-ends",
  ]);
});

test("confirms wants the whole serial number or its last four characters", () => {
  const table = [
    ["S6Z1NJ0W1", true],
    [" J0W1\n", true],
    ["0W1", false],
    ["NJ0W1", false],
    ["", false],
    ["j0w1", false],
  ] as const;
  for (const [given, wanted] of table) assert.equal(confirms("S6Z1NJ0W1", given), wanted, given);
  assert.equal(confirms("", ""), false);
});
