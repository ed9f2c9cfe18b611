declare module "seek-bzip" {
  /** What the decoder reads from; `read` fills a buffer through `readByte`. */
  interface Input {
    readByte(): number;
    read(buffer: Uint8Array, offset: number, length: number): number;
    eof(): boolean;
  }
  interface Output {
    writeByte(byte: number): void;
  }
  const Bunzip: {
    decode(input: Input, output: Output, multistream: boolean): unknown;
  };
  export default Bunzip;
}
