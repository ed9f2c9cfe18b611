/** The version of the contract. */

/**
 * Bumped when a client of the version before could not use a box any more. New methods, and new
 * fields of results, leave it as it is: clients pass over what they do not know, and a box answers
 * `unsupported` to a method that it does not have.
 */
export const rpcVersion = 1;

/**
 * What to tell somebody whose box speaks another version; null when the versions agree.
 * @param boxVersion `rpc` of what `describe` gave
 */
export function describeVersionGap(boxVersion: number, boxName: string): string | null {
  if (boxVersion === rpcVersion) return null;
  const [older, what] =
    boxVersion < rpcVersion
      ? [`the box ${boxName}`, "Build its image anew and boot it from that."]
      : ["this program", "Use the version that the box's image was built with."];
  return (
    `The box ${boxName} speaks version ${boxVersion} of the control channel and this program ` +
    `version ${rpcVersion}: ${older} is the older one. ${what}`
  );
}
