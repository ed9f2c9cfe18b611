/**
 * The terminals that show the state: the first virtual terminal, cleared at each change, and
 * the consoles on serial lines, where a changed state follows below the last one. Keys count, and
 * secrets are shown, on the first one only: a serial line may be recorded anywhere.
 */
import { closeSync, constants, openSync, readFileSync, write } from "node:fs";
import { basename, join } from "node:path";
import { isatty, ReadStream, WriteStream } from "node:tty";
import { createPainter } from "./driver-painter.ts";
import { fitSecret, noSecret, type Secret } from "./keyboard.ts";
import { renderScreen } from "./screen.ts";
import type { State } from "./state.ts";

/** Never blank the screen, hide the cursor (console_codes(4)). */
const prepare = "\x1b[9;0]\x1b[?25l";
const clear = "\x1b[H\x1b[2J\x1b[3J";
/** Between attempts on a line that takes no more for now, and how often. */
const retryDelayMs = 100;
const retriesMax = 50;
/** A serial line is slow: changes that follow each other closely are shown as one. */
const serialDelayMs = 1000;
const serialColumns = 80;

type Draw = (state: State, secret: Secret) => void;

/** Shows states on all terminals of the box. */
export class Terminals {
  readonly #draws: Draw[];
  #state: State | null = null;
  #secret = noSecret;

  /**
   * @param root where /sys and /dev are; terminals that cannot be opened are left out
   * @param pressed hears of keys of the keyboard, as they are typed
   */
  constructor(root: string, pressed: (text: string) => void) {
    this.#draws = terminalNames(root)
      .map((name) => {
        const path = join(root, "dev", name);
        return name === "tty1" ? openVirtual(path, pressed) : openSerial(path);
      })
      .filter((draw) => draw !== null);
  }

  /** Draws at once or soon; never throws. */
  show(state: State): void {
    this.#state = state;
    this.#draw();
  }

  /** Shows it to whoever stands in front of the box, above all else. */
  whisper(secret: Secret): void {
    this.#secret = secret;
    this.#draw();
  }

  #draw(): void {
    if (this.#state === null) return;
    for (const draw of this.#draws) draw(this.#state, this.#secret);
  }
}

/** `tty1` and the consoles that the kernel writes to, without its aliases for virtual ones. */
function terminalNames(root: string): string[] {
  let consoles: string[] = [];
  try {
    const text = readFileSync(join(root, "sys/class/tty/console/active"), "utf8");
    consoles = text
      .trim()
      .split(/\s+/)
      .map((name) => basename(name));
  } catch {
    // A machine without a console has tty1 at most.
  }
  return ["tty1", ...consoles.filter((name) => name !== "" && !/^tty\d+$/.test(name))];
}

function openTerminal(path: string): number | null {
  try {
    const flags = constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK;
    return openSync(path, flags);
  } catch {
    return null;
  }
}

function openVirtual(path: string, pressed: (text: string) => void): Draw | null {
  const fd = openTerminal(path);
  if (fd === null) {
    return null;
  }
  if (!isatty(fd)) {
    closeSync(fd);
    return null;
  }
  // Each stream changes how its descriptor behaves.
  const [asked, typed] = [openTerminal(path), openTerminal(path)];
  if (asked === null || typed === null) return null;
  const paint = createPainter(fd);
  // Only asked for its size: what is written to it waits until it is out.
  const stream = new WriteStream(asked);
  stream.on("error", () => {});
  const keyboard = new ReadStream(typed);
  keyboard.on("error", () => {});
  keyboard.setRawMode(true).setEncoding("utf8").on("data", pressed);
  return (state, secret) => {
    const [width, height] = stream.getWindowSize();
    const room = { columns: width || 80, rows: height || 25 };
    const above = fitSecret(secret, room);
    const size = { ...room, rows: room.rows - above.rows, colour: true };
    const whole = [...above.lines.map((line) => `${line}\n`), renderScreen(state, size)].join("");
    paint(`${prepare}${clear}${whole}`);
  };
}

function openSerial(path: string): Draw | null {
  const fd = openTerminal(path);
  if (fd === null) {
    return null;
  }
  let shown = "";
  let newest: State | null = null;
  return (state) => {
    if (newest !== null) {
      newest = state;
      return;
    }
    newest = state;
    setTimeout(() => {
      const size = { columns: serialColumns, rows: null, colour: false };
      const text = newest === null ? "" : renderScreen(newest, size);
      newest = null;
      if (text !== shown) {
        shown = text;
        writeAll(fd, Buffer.from(`\n${text}`), retriesMax);
      }
    }, serialDelayMs).unref();
  };
}

/** Writes to a line that may be full; gives up on one that nobody empties. */
function writeAll(fd: number, data: Uint8Array, retries: number): void {
  write(fd, data, (error, written) => {
    const rest = error === null ? data.subarray(written) : data;
    if (rest.length === 0 || retries === 0 || (error !== null && error.code !== "EAGAIN")) {
      return;
    }
    const next = (): void => writeAll(fd, rest, retries - 1);
    if (error === null) {
      next();
    } else {
      setTimeout(next, retryDelayMs).unref();
    }
  });
}
