/** Continuing a file of which a part is there (RFC 9110 section 14): request and answer. */

/** What a server says a file's state is; sent back so that only that state is continued. */
export interface Validator {
  readonly url: string;
  readonly value: string;
}

/** The headers of a response that matter here. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** Where the body of an answer belongs, or why it is of no use. */
export type BodyPlacement =
  | { readonly kind: "at"; readonly offsetBytes: number }
  | { readonly kind: "mismatch"; readonly found: string; readonly wanted: string };

/** Headers for a request when `haveBytes` of the file are there. */
export function resumeHeaders(
  haveBytes: number,
  url: string,
  validator: Validator | undefined,
): Record<string, string> {
  if (haveBytes === 0) {
    return {};
  }
  const range = { range: `bytes=${haveBytes}-` };
  return validator?.url === url ? { ...range, "if-range": validator.value } : range;
}

/** A strong validator of an answer: a strong ETag, or its date. */
export function validatorOf(url: string, headers: ResponseHeaders): Validator | undefined {
  const { etag, "last-modified": lastModified } = headers;
  if (typeof etag === "string" && etag.startsWith('"')) {
    return { url, value: etag };
  }
  return typeof lastModified === "string" ? { url, value: lastModified } : undefined;
}

/**
 * Places the body of a 200 or 206. A server that ignores ranges sends the file from its start; one
 * that announces another length than `sizeBytes` has another file.
 */
export function placeBody(
  status: number,
  headers: ResponseHeaders,
  haveBytes: number,
  sizeBytes: number,
): BodyPlacement {
  if (status === 206) {
    const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(String(headers["content-range"] ?? ""));
    const isWanted =
      match !== null &&
      Number(match[1]) === haveBytes &&
      (match[3] === "*" || Number(match[3]) === sizeBytes);
    return isWanted
      ? { kind: "at", offsetBytes: haveBytes }
      : {
          kind: "mismatch",
          found: `the range ${JSON.stringify(headers["content-range"] ?? "")}`,
          wanted: `bytes ${haveBytes}-${sizeBytes - 1}/${sizeBytes}`,
        };
  }
  const length = headers["content-length"];
  if (length !== undefined && Number(length) !== sizeBytes) {
    return { kind: "mismatch", found: `${length} bytes`, wanted: `${sizeBytes} bytes` };
  }
  return { kind: "at", offsetBytes: 0 };
}
