/** A text as a QR code (ISO/IEC 18004) of lines for a terminal. */
import encodeQR from "qr";

/** Light modules around the code, which readers need (section 9.1). */
const border = 4;
/** Black on the console's white, whatever colours the rest has. */
const [begin, end] = ["\x1b[0;30;47m", "\x1b[0m"];

/** Lines of a terminal, and the columns that each takes. */
export interface QrCode {
  readonly lines: readonly string[];
  readonly columns: number;
}

/** Two modules lie above each other in a character, whose cell is twice as high as wide. */
export function qrCode(text: string): QrCode {
  const rows = encodeQR(text, "raw", { ecc: "low", encoding: "byte", border });
  const lines: string[] = [];
  for (let at = 0; at < rows.length; at += 2) {
    const [upper = [], lower = []] = rows.slice(at, at + 2);
    const cells = upper.map((isDark, column) => cell(isDark, lower[column] ?? false));
    lines.push(`${begin}${cells.join("")}${end}`);
  }
  return { lines, columns: rows.length };
}

function cell(isUpperDark: boolean, isLowerDark: boolean): string {
  if (isUpperDark) return isLowerDark ? "█" : "▀";
  return isLowerDark ? "▄" : " ";
}
