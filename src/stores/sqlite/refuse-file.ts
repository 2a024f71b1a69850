/**
 * What would lose data silently, or fail with words that help nobody, is refused before the file is touched: an SQLite with
 * the WAL-reset bug, a network, what is no file, what may not be written.
 */
import { accessSync, constants, realpathSync, statfsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { SwitchgearError } from '../../contract/errors.ts';

/** The first SQLite without the WAL-reset bug that can corrupt a file. */
const SQLITE_MIN = [3, 51, 3] as const;

/** File system types (`statfs`) on which SQLite's locks or its wal cannot be relied on. */
const NETWORK_FILE_SYSTEMS: Readonly<Record<number, string>> = {
  0x69_69: 'NFS',
  0x51_7b: 'SMB',
  0xfe_53_4d_42: 'SMB',
  0xff_53_4d_42: 'CIFS',
  0x53_46_41_4f: 'AFS',
  0x73_75_72_45: 'Coda',
  0x56_4c: 'NCP',
  0x00_c3_64_00: 'Ceph',
  0x0b_d0_0b_d0: 'Lustre',
  0x47_50_46_53: 'GPFS',
};

/** The type of the file system that a folder is on. */
export function readFileSystemType(folder: string): number {
  return statfsSync(folder).type;
}

/** @throws {SwitchgearError} `store-unavailable` for a file on a network, also behind a symbolic link */
export function refuseNetwork(path: string, typeOf: (folder: string) => number): void {
  const folder = dirname(resolve(path));
  let type: number;
  try {
    type = typeOf(dirname(followLinks(path)));
  } catch (error) {
    throw new SwitchgearError(
      'store-unavailable',
      `expected the folder of the store ${path} to exist; create ${folder}, or set store.path`,
      { cause: error },
    );
  }
  const name = NETWORK_FILE_SYSTEMS[type >>> 0];
  if (name === undefined) return;
  throw new SwitchgearError(
    'store-unavailable',
    `expected the store ${path} to be on a local disk, got: a network file system (${name}), whose locks and syncs cannot be relied on; set store.path to a local file`,
  );
}

/** @throws {SwitchgearError} `store-unavailable` for a folder, a device, a pipe */
export function refuseNoFile(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined || found.isFile()) return;
  const kind = found.isDirectory() ? 'a folder' : 'a device or a pipe';
  throw new SwitchgearError(
    'store-unavailable',
    `expected the store ${path} to be a file, got: ${kind}; set store.path to a file, such as ${resolve(path)}.db`,
  );
}

/** SQLite would say no more than that the disk fails. @throws {SwitchgearError} `store-unavailable` for what may not be written */
export function refuseReadOnly(path: string): void {
  const folder = dirname(resolve(path));
  if (statSync(path, { throwIfNoEntry: false }) !== undefined && !isAllowed(path, constants.R_OK | constants.W_OK))
    throw new SwitchgearError(
      'store-unavailable',
      `the store ${path} is read-only; give this user write access to the file and to its folder`,
    );
  if (!isAllowed(folder, constants.W_OK | constants.X_OK))
    throw new SwitchgearError(
      'store-unavailable',
      `the folder of the store ${path} is read-only; give this user write access to ${folder}, where its log is written too`,
    );
}

function isAllowed(name: string, mode: number): boolean {
  try {
    accessSync(name, mode);
    return true;
  } catch {
    return false;
  }
}

/** @throws {SwitchgearError} `store-unavailable` for a version of SQLite that can damage a file */
export function refuseOld(path: string, version: string): void {
  const parts = version.split('.').map(Number);
  const difference = SQLITE_MIN.map((least, index) => (parts[index] ?? 0) - least).find((part) => part !== 0) ?? 0;
  if (difference >= 0) return;
  throw new SwitchgearError(
    'store-unavailable',
    `expected SQLite ${SQLITE_MIN.join('.')} or newer for the store ${path}, as older ones can damage a file in WAL mode, got: ${version}; update Node (22.23.3 and 24.21 have it)`,
  );
}

function followLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}
