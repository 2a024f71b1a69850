/** Disks that run out of room, or refuse to be written, when a test says so. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SmallDisk extends Disposable {
  readonly folder: string;
  /** From now on there is no room. `pid`: the process that uses the disk. */
  fill(pid: number): void;
  /** There is room again. */
  free(pid: number): void;
}

const FILLER_BYTES = 4_096;

/** Why no disk can be mounted here; undefined when one can. */
export function findMountProblem(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'switchgear-mount-'));
  const { status, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
  if (status === 0) spawnSync('umount', [folder]);
  rmSync(folder, { recursive: true });
  if (error !== undefined) return 'there is no mount here';
  return status === 0 ? undefined : 'this user may not mount disks';
}

/** A disk of its own, so that it can really be full: `ENOSPC`. */
export function mountSmallDisk(megabytes: number): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'switchgear-disk-'));
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder]);
  if (status !== 0) throw new Error(`expected a disk to be mounted, got: ${stderr.toString()}`);
  const filler = join(folder, 'filler');
  return {
    folder,
    fill: () => {
      writeUntilFull(filler);
    },
    free: () => {
      rmSync(filler, { force: true });
    },
    [Symbol.dispose]: () => {
      spawnSync('umount', ['-l', folder]);
      rmSync(folder, { recursive: true });
    },
  };
}

/** A folder in which a process may not write beyond the first pages of a file: `EFBIG`, which is no full disk but a failing one. */
export function limitFiles(): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'switchgear-disk-'));
  const limit = (pid: number, bytes: string) => {
    // The soft limit alone: it may be raised again.
    const { status, error, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`]);
    if (status !== 0) throw new Error(`expected prlimit (util-linux) to work, got: ${String(error ?? stderr)}`);
  };
  return {
    folder,
    fill: (pid) => {
      limit(pid, String(FILLER_BYTES));
    },
    free: (pid) => {
      limit(pid, 'unlimited');
    },
    [Symbol.dispose]: () => {
      rmSync(folder, { recursive: true });
    },
  };
}

function writeUntilFull(file: string): void {
  const handle = openSync(file, 'w');
  try {
    const block = Buffer.alloc(FILLER_BYTES);
    for (;;) writeSync(handle, block);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  } finally {
    closeSync(handle);
  }
}
