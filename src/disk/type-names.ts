/**
 * What people call the types of partitions.
 *
 * Sources: UEFI 2.10 table 5.7, "The Discoverable Partitions Specification", Microsoft's
 * PARTITION_INFORMATION_GPT, GPT fdisk's parttypes.cc; for MBR types util-linux's
 * include/pt-mbr-partnames.h.
 */

const gptNames: Readonly<Record<string, string>> = {
  "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "ESP",
  "bc13c2ff-59e6-4262-a352-b275fd6f7172": "boot loader (XBOOTLDR)",
  "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
  "024dee41-33e7-11d3-9d69-0008c781f39f": "MBR scheme",
  "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux data",
  "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
  "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
  "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
  "ca7d7ccb-63ed-4c53-861c-1742536059cc": "Linux LUKS",
  "933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux home",
  "3b8f8425-20e0-4f3b-907f-1a25a76f98e8": "Linux server data",
  "4d21b016-b534-45c2-a9fb-5c16e091fd2d": "Linux variable data",
  "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
  "b921b045-1df0-41c3-af44-4c6f280d3fae": "Linux root (ARM64)",
  "44479540-f297-41b2-9af7-d131d5f0458a": "Linux root (x86)",
  "69dad710-2ce4-4e3c-b16c-21a1d49abed3": "Linux root (ARM)",
  "72ec70a6-cf74-40e6-bd49-4bda08e8f224": "Linux root (RISC-V)",
  "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5": "Linux root verity (x86-64)",
  "df3300ce-d69f-4c92-978c-9bfb0f38d820": "Linux root verity (ARM64)",
  "41092b05-9fc8-4523-994f-2def0408b176": "Linux root verity signature (x86-64)",
  "8484680c-9521-48c6-9c11-b0720656f69e": "Linux /usr (x86-64)",
  "b0e01050-ee5f-4390-949a-9101b17104e9": "Linux /usr (ARM64)",
  "77ff5f63-e7b6-4633-acf4-1565b864c0e6": "Linux /usr verity (x86-64)",
  "6e11a4e7-fbca-4ded-b9e9-e1a512bb664e": "Linux /usr verity (ARM64)",
  "e7bb33fb-06cf-4e81-8273-e543b413e2e2": "Linux /usr verity signature (x86-64)",
  "8da63339-0007-60c0-c436-083ac8230908": "Linux reserved",
  "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft data",
  "e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
  "de94bba4-06d1-4d40-a16a-bfd50179d6ac": "Windows recovery",
  "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": "Windows LDM metadata",
  "af9b60a0-1431-4f62-bc68-3311714a69ad": "Windows LDM data",
  "e75caf8f-f680-4cee-afa3-b001e56efc2d": "Windows Storage Spaces",
  "48465300-0000-11aa-aa11-00306543ecac": "Apple HFS+",
  "7c3457ef-0000-11aa-aa11-00306543ecac": "Apple APFS",
  "426f6f74-0000-11aa-aa11-00306543ecac": "Apple boot",
  "6a898cc3-1dd2-11b2-99a6-080020736631": "ZFS",
  "6a945a3b-1dd2-11b2-99a6-080020736631": "Solaris reserved",
  "516e7cb4-6ecf-11d6-8ff8-00022d09712b": "FreeBSD data",
  "83bd6b9d-7f41-11dc-be0b-001560b84f0f": "FreeBSD boot",
  "516e7cb5-6ecf-11d6-8ff8-00022d09712b": "FreeBSD swap",
  "516e7cb6-6ecf-11d6-8ff8-00022d09712b": "FreeBSD UFS",
  "516e7cba-6ecf-11d6-8ff8-00022d09712b": "FreeBSD ZFS",
  "fe3a2a5d-4f32-41a7-b725-accc3285a309": "ChromeOS kernel",
  "3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec": "ChromeOS root",
  "2e0a753d-9e48-43b0-8337-b15192cb1b5e": "ChromeOS reserved",
  "aa31e02a-400f-11db-9590-000c2911d1b8": "VMware VMFS",
  "9d275380-40ad-11db-bf97-000c2911d1b8": "VMware diagnostics",
};

const mbrNames: Readonly<Record<number, string>> = {
  1: "FAT12",
  4: "FAT16",
  5: "extended",
  6: "FAT16",
  7: "NTFS or exFAT",
  11: "FAT32",
  12: "FAT32",
  14: "FAT16",
  15: "extended",
  39: "Windows recovery",
  66: "Windows LDM",
  130: "Linux swap",
  131: "Linux data",
  133: "extended",
  142: "Linux LVM",
  165: "FreeBSD",
  166: "OpenBSD",
  169: "NetBSD",
  175: "Apple HFS+",
  238: "protective GPT",
  239: "ESP",
  251: "VMware VMFS",
  253: "Linux RAID",
};

/** The name of a GPT partition type, or the GUID itself. */
export function gptTypeName(typeGuid: string): string {
  return gptNames[typeGuid] ?? `type ${typeGuid}`;
}

/** The name of an MBR partition type, or its number as fdisk prints it. */
export function mbrTypeName(type: number): string {
  return mbrNames[type] ?? `type 0x${type.toString(16).padStart(2, "0")}`;
}
