/** Which kernel modules each `ModuleClass` stands for, and why. */

import type { ModuleClass } from "../definition.ts";

/**
 * One line of a class: modules to take in, or to leave out of what earlier lines of the same class
 * took. A pattern with a slash is a glob over paths without their compression suffix
 * (`kernel/drivers/ata/*.ko`, or `…/**` for a folder); one without is a module's name, in which
 * `-` and `_` are the same. What they depend on comes with them.
 */
export interface ClassRule {
  readonly pattern: string;
  readonly leaveOut?: true;
  readonly because: string;
}

const take = (pattern: string, because: string): ClassRule => ({ pattern, because });
const leaveOut = (pattern: string, because: string): ClassRule => ({
  pattern,
  leaveOut: true,
  because,
});

const usbHosts: readonly ClassRule[] = [
  take("xhci-pci", "USB 3 and 4 controllers"),
  take("xhci-pci-renesas", "USB 3 cards whose controller takes its firmware from the host"),
  take("ehci-pci", "USB 2 controllers"),
  take("ohci-pci", "USB 1.1 behind AMD, NVIDIA and SiS USB 2 controllers"),
  take("uhci-hcd", "USB 1.1 behind Intel and VIA USB 2 controllers, and in virtual machines"),
];

/** The rules of every class; a class is the sum of its lines, read from top to bottom. */
export const moduleClasses: Readonly<Record<ModuleClass, readonly ClassRule[]>> = {
  "network-wired": [
    take("kernel/drivers/net/ethernet/**", "every Ethernet controller on PCI"),
    leaveOut("kernel/drivers/net/ethernet/**/*_cs.ko", "PC Cards; no such machine boots by UEFI"),
    leaveOut("xircom_cb", "a CardBus card"),
    take("kernel/drivers/net/phy/**", "PHYs are loaded by the id that they report"),
    take("kernel/drivers/net/mdio/**", "the buses to them"),
    take("kernel/drivers/net/pcs/**", "the sublayer of stmmac and amd-xgbe"),
    take("fjes", "the Ethernet of Fujitsu PRIMEQUEST partitions"),
  ],
  "network-usb": [
    ...usbHosts,
    take("kernel/drivers/net/usb/**", "every USB network adapter and dock"),
    leaveOut("{cdc-phonet,cdc_mbim,huawei_cdc_ncm,qmi_wwan,sierra_net}", "mobile modems"),
    leaveOut("{hso,lg-vl600,kalmia,cx82310_eth}", "mobile and DSL modems"),
    leaveOut("{ipheth,zaurus}", "telephones and handhelds"),
  ],
  "network-virtual": [
    take("virtio_net", "QEMU, KVM, most clouds"),
    take("vmxnet3", "VMware"),
    take("hv_netvsc", "Hyper-V and Azure"),
    take("pci-hyperv", "Azure's accelerated network is a PCI device on that bus"),
    take("xen-netfront", "Xen guests"),
    take("{ena,gve,mana}", "Amazon, Google, Azure"),
    take("{igbvf,ixgbevf,iavf,mlx4_en,mlx5_core,bnxt_en}", "virtual functions of real adapters"),
  ],
  "thunderbolt-net": [
    take("thunderbolt", "the controller, which must authorise the cable"),
    take("thunderbolt_net", "IP over Thunderbolt and USB4 between two machines"),
  ],
  storage: [
    take("nvme", "NVMe on PCI"),
    take("vmd", 'Intel VMD ("RST"), behind which laptops and servers hide their NVMe disks'),
    take("kernel/drivers/ata/*.ko", "SATA and IDE controllers"),
    leaveOut("{pata_legacy,pata_pcmcia}", "ISA probing, PC Cards"),
    take("sd_mod", "disks of every SCSI transport, SATA and USB included"),
    take("sr_mod", "optical drives"),
    take("kernel/drivers/scsi/**", "SCSI, SAS and RAID host adapters"),
    leaveOut("kernel/drivers/scsi/{pcmcia,device_handler}/**", "PC Cards; paths of a SAN"),
    leaveOut(
      "kernel/drivers/scsi/{fcoe,bnx2fc,qedf,bnx2i,qedi,be2iscsi,cxgbi,csiostor,libfc}/**",
      "FCoE and iSCSI offload: disks of other machines, for which user space must log in",
    ),
    leaveOut("{iscsi_tcp,libiscsi,libiscsi_tcp,qla4xxx,iscsi_boot_sysfs}", "iSCSI, as above"),
    leaveOut("{scsi_transport_iscsi,scsi_transport_srp}", "iSCSI and SRP, as above"),
    leaveOut(
      "{scsi_debug,ch,st,ses,sg,tcm_qla2xxx,qlogicfas408}",
      "no disks: test, changer, tape, target mode, helper",
    ),
    leaveOut("{xen-scsifront,hv_storvsc,vmw_pvscsi,virtio_scsi}", "named below, with their like"),
    take("kernel/drivers/message/fusion/*.ko", "LSI Fusion SAS and SCSI, and VMware's emulation"),
    leaveOut("{mptctl,mptlan}", "management and IP over Fibre Channel"),
    take(
      "{virtio_blk,virtio_scsi,vmw_pvscsi,hv_storvsc,xen-blkfront,xen-scsifront}",
      "hypervisors",
    ),
    take("pci-hyperv", "NVMe disks in Azure are PCI devices on that bus"),
    take("mtip32xx", "Micron's PCIe disks from before NVMe"),
    take("{nfit,nd_pmem,nd_btt,virtio_pmem}", "persistent memory as disks"),
    take("kernel/drivers/mmc/**", "SD cards and eMMC"),
    leaveOut("{sdio_uart,vub300,ushc,sdricoh_cs}", "SDIO devices and PC Cards"),
    take("{tifm_7xx1,cb710}", "PCI functions whose card readers are above"),
    take("kernel/drivers/memstick/**", "Memory Sticks"),
    take("ufshcd-pci", "UFS, the disk of small notebooks"),
    take("{firewire-ohci,firewire-sbp2}", "FireWire disks and Macs in target disk mode"),
  ],
  "storage-usb": [
    ...usbHosts,
    take("kernel/drivers/usb/storage/**", "USB mass storage, UAS, and readers with own protocols"),
    leaveOut("ums-onetouch", "adds a button to a disk that works without it"),
    take("sd_mod", "the disks on it"),
    take("sr_mod", "the optical drives on it"),
  ],
  "nvme-target": [
    take("nvmet", "the target, with DH-HMAC-CHAP (nvme-auth by symbol)"),
    take("nvmet-tcp", "its TCP transport, with TLS keys (nvme-keyring by symbol)"),
    take("{crc32c_generic,crc32c-intel}", "digests: asked for at run time as crypto-crc32c"),
  ],
  "nvme-host": [
    take("nvme-tcp", "the host, with fabrics, keyring and auth by symbol"),
    take("{crc32c_generic,crc32c-intel}", "digests: asked for at run time as crypto-crc32c"),
  ],
  "device-mapper": [
    take("dm-mod", "the core, with the linear, striped and error targets"),
    take("dm-snapshot", "copy-on-write over a disk that must not change"),
    take("{dm-zero,dm-flakey,dm-delay,dm-log-writes}", "made-up and failing disks for tests"),
    take("{dm-crypt,dm-integrity,dm-verity}", "encrypted and checked volumes"),
    take("{xts,aesni-intel}", "what dm-crypt asks for at run time: crypto-xts, crypto-aes"),
  ],
  "filesystems-basic": [
    take("vfat", "the EFI system partition of the boot medium"),
    take("{nls_cp437,nls_ascii,nls_iso8859-1,nls_utf8}", "what vfat asks for by its options"),
    take("{overlay,loop}", "changes over a read-only tree; files as disks"),
    take("autofs4", "systemd's automount units"),
    take("configfs", "how nvmet is configured"),
  ],
  hid: [
    ...usbHosts,
    take("usbhid", "USB keyboards"),
    take("hid-generic", "those that need nothing special"),
    take("{hid-apple,hid-a4tech,hid-belkin,hid-cherry,hid-chicony}", "own key layouts"),
    take("{hid-corsair,hid-cypress,hid-ezkey,hid-gyration,hid-holtek-kbd,hid-ite}", "as above"),
    take("{hid-kensington,hid-keytouch,hid-kye,hid-lenovo,hid-microsoft}", "as above"),
    take("{hid-monterey,hid-ortek,hid-petalynx,hid-primax,hid-redragon,hid-samsung}", "as above"),
    take("{hid-semitek,hid-sunplus,hid-topseed,hid-zydacron}", "as above"),
    take("{hid-logitech,hid-logitech-dj,hid-logitech-hidpp}", "receivers of wireless keyboards"),
    take("{hid-hyperv,hyperv-keyboard}", "Hyper-V"),
    take("virtio_input", "keyboards of QEMU that are not PS/2 or USB"),
    take("{button,evdev}", "the power button, and the device file in which logind hears it"),
  ],
  tls: [
    take("tls", "TLS records in the kernel"),
    take("{gcm,ghash-generic}", "asked for at run time as crypto-gcm, crypto-ghash"),
    take("{aesni-intel,ghash-clmulni-intel}", "the same on the CPU's own instructions"),
  ],
  efi: [
    take("efivarfs", "boot entries and boot once"),
    take("efi-pstore", "a panic's last lines survive in the firmware"),
  ],
  console: [
    take("virtio-gpu", "its firmware driver leaves no frame buffer behind; all else is efifb"),
  ],
};
