/** What a run says: as it is, or with its box's name where several boxes run at once. */

import { printJson, printLine, progressLine, tell } from "./console.ts";

/** A run's way to its user. */
export interface RunVoice {
  /** A message. */
  tell(text: string): void;
  /** Data for a person. */
  line(text: string): void;
  /** An event, for `--json`. */
  json(value: Readonly<Record<string, unknown>>): void;
  /** What is being waited for; null ends the picture. */
  progress(text: string | null): void;
}

/** Of the only run that there is. */
export const onlyVoice: RunVoice = {
  tell,
  line: printLine,
  json: printJson,
  progress(text) {
    if (text === null) progressLine.clear();
    else progressLine.show(text);
  },
};

/** Of one among several: its result is an event `box`, since that of them all comes last. */
export function voiceOf(box: string): RunVoice {
  return {
    tell: (text) => tell(`${box}: ${text}`),
    line: (text) => printLine(`${box}: ${text}`),
    json: ({ event, ...rest }) =>
      printJson({ event: event === "result" ? "box" : event, box, ...rest }),
    progress(text) {
      if (text === null) progressLine.clear();
      else progressLine.show(`${box}: ${text}`);
    },
  };
}
