/** What packages ship and an appliance does not need, as a typed list with a reason for each. */

import { matcherOf, type PathMatcher } from "./glob.ts";

/** Files that stay out of the image; plain data, so that it can be part of a cache key. */
export interface Filter {
  readonly reason: string;
  /** Globs over canonical paths, see `matcherOf`. */
  readonly globs: readonly string[];
  /** Files that stay in although a glob of this filter names them. */
  readonly except?: readonly string[];
}

/** The filters that every appliance starts from; a definition's `excludeFiles` come on top. */
export const builtinFilters: readonly Filter[] = [
  {
    reason: "documentation; copyright files are captured for the SBOM before they go",
    globs: [
      "usr/share/{doc,doc-base,gtk-doc,help,info,man}/**",
      "usr/share/{examples,devhelp}/**",
      "usr/local/man",
    ],
  },
  {
    reason: "translations and locales other than C.UTF-8",
    globs: ["usr/share/{locale,i18n}/**", "usr/lib/locale/**"],
    except: ["usr/lib/locale/C.utf8/**"],
  },
  {
    reason: "for packaging and reporting bugs on a Debian system",
    globs: [
      "usr/share/{lintian,bug,apport,reportbug,debconf,dh-*}/**",
      "etc/{apt,apport,dpkg}/**",
      "etc/debconf.conf",
      "usr/{lib,share}/dpkg/**",
      "var/lib/{dpkg,apt,ucf}/**",
    ],
  },
  {
    reason: "completion for interactive shells",
    globs: ["usr/share/{bash-completion,zsh,fish}/**", "etc/bash_completion.d/**"],
  },
  {
    reason: "menus and icons of desktops",
    globs: ["usr/share/{menu,applications,icons,pixmaps,metainfo,appdata}/**"],
  },
  {
    reason: "init scripts; systemd's generator would make units of them",
    globs: ["etc/{init.d,rc?.d,init,insserv.conf.d}/**"],
  },
  {
    reason: "jobs of cron and logrotate, neither of which is there",
    globs: ["etc/cron*/**", "etc/crontab", "etc/logrotate.d/**"],
  },
  {
    reason: "hooks for building an initramfs or installing kernels on the running system",
    globs: ["{usr/share,etc}/initramfs-tools/**", "etc/kernel/**", "usr/lib/{kernel,dracut}/**"],
  },
  {
    reason: "for compiling against a package",
    globs: [
      "usr/include/**",
      "usr/lib/**/*.{a,la}",
      "usr/{lib,share}/pkgconfig/**",
      "usr/lib/*/pkgconfig/**",
      "usr/share/{aclocal,cmake}/**",
      "usr/share/gdb/**",
      "usr/lib/debug/**",
    ],
  },
  {
    reason: "explanations of journal messages, whose database is not built",
    globs: ["usr/lib/systemd/catalog/**"],
  },
];

/** Tells which paths the filters keep out. */
export function exclusionOf(filters: readonly Filter[]): PathMatcher {
  const pairs = filters.map(({ globs, except = [] }) => [matcherOf(globs), matcherOf(except)]);
  return (path) => pairs.some(([matches, excepts]) => matches!(path) && !excepts!(path));
}
