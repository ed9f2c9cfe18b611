import assert from "node:assert/strict";
import { test } from "node:test";
import decodeQR from "qr/decode.js";
import { qrCode } from "./qr-code.ts";

const pixelsPerModule = 4;

/** What a camera sees of the lines. */
function pictureOf(lines: readonly string[], columns: number) {
  const cells = lines.map((line) => line.slice("\x1b[0;30;47m".length, -"\x1b[0m".length));
  const width = columns * pixelsPerModule;
  const height = cells.length * 2 * pixelsPerModule;
  const data = new Uint8Array(width * height * 3).fill(255);
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / pixelsPerModule);
    for (let x = 0; x < width; x++) {
      const cell = cells[row >> 1]?.[Math.floor(x / pixelsPerModule)] ?? " ";
      if ("█▀▄".includes(cell) && cell !== (row % 2 === 0 ? "▄" : "▀")) {
        data.fill(0, (y * width + x) * 3, (y * width + x + 1) * 3);
      }
    }
  }
  return { width, height, data };
}

for (const text of ["a", `nvme connect -t tcp -n nqn.2026-11.org.example:${"d".repeat(160)}`]) {
  test(`qrCode shows ${text.length} characters as readers read them`, () => {
    const { lines, columns } = qrCode(text);
    assert.equal(decodeQR(pictureOf(lines, columns)), text);
  });
}
