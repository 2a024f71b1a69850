/**
 * A line in which everybody waits for a turn, and out of which the first one that may go is found without asking those who
 * may not. Places are the leaves of a tournament: each node above them names whoever comes first, by another order, among
 * those below, so that who may go by that order is found on the way down. Everything costs O(log n); places that were left
 * are cleared away when the line has no more room, which costs as much as the turns that used them up.
 */
import type { Placed } from './indexed-heap.ts';

const ROOM_MIN = 16;
/** A line that uses no more than this part of its room is laid out anew. */
const SPARSE = 8;

export class TurnLine<Member extends Placed> {
  readonly #isBefore: (left: Member, right: Member) => boolean;
  /** Node n has the nodes 2n and 2n + 1 below it; the second half are the places. */
  #winners: (Member | undefined)[] = [];
  #room = 0;
  /** The first place that nobody has had. */
  #end = 0;
  #size = 0;

  /** `isBefore` is a strict order over all members, which has nothing to do with turns. */
  constructor(isBefore: (left: Member, right: Member) => boolean) {
    this.#isBefore = isBefore;
  }

  /** Whoever is before all others by the order. */
  get winner(): Member | undefined {
    return this.#winners[1];
  }

  /** All, in the order of their places. */
  members(): Member[] {
    return this.#winners.slice(this.#room, this.#room + this.#end).filter((member) => member !== undefined);
  }

  /** The first in line that may go. Whoever is before one that may go may go, too. */
  find(mayGo: (member: Member) => boolean): Member | undefined {
    const { winner } = this;
    if (winner === undefined || !mayGo(winner)) return undefined;
    let node = 1;
    while (node < this.#room) {
      node *= 2;
      const earlier = this.#winners[node];
      if (earlier === undefined || !mayGo(earlier)) node += 1;
    }
    return this.#winners[node];
  }

  /** Enters at the end, or at the place that it had when it was taken out last. */
  add(member: Member, place = this.#end): void {
    this.#size += 1;
    if (place < this.#end) {
      this.#put(member, place);
      return;
    }
    this.#makeRoom();
    this.#put(member, this.#end++);
  }

  remove(member: Member): void {
    this.#size -= 1;
    this.#set(member.position, undefined);
    if (this.#size === 0) this.#lay([]);
  }

  /** Its turn is over. Gives the place that it had, which stays free until somebody else comes to the end. */
  moveToEnd(member: Member): number {
    // One tenant alone is at the end whatever it does.
    if (member.position === this.#end - 1) return member.position;
    this.#makeRoom();
    const { position } = member;
    this.#set(position, undefined);
    this.#put(member, this.#end++);
    return position;
  }

  /** Its turn is not over after all. */
  moveBack(member: Member, place: number): void {
    this.#set(member.position, undefined);
    this.#put(member, place);
  }

  /** The member comes elsewhere by the order now. */
  refresh(member: Member): void {
    this.#set(member.position, member);
  }

  #put(member: Member, place: number): void {
    member.position = place;
    this.#set(place, member);
  }

  #set(place: number, member: Member | undefined): void {
    let node = this.#room + place;
    this.#winners[node] = member;
    for (node >>= 1; node > 0; node >>= 1) this.#judge(node);
  }

  #judge(node: number): void {
    const left = this.#winners[2 * node];
    const right = this.#winners[2 * node + 1];
    const isRight = left === undefined || (right !== undefined && this.#isBefore(right, left));
    this.#winners[node] = isRight ? right : left;
  }

  #makeRoom(): void {
    if (this.#end < this.#room && this.#room <= Math.max(ROOM_MIN, SPARSE * this.#size)) return;
    this.#lay(this.members());
  }

  /** Gives these the first places, in this order, and at least as many free ones behind them. */
  #lay(members: readonly Member[]): void {
    this.#room = ROOM_MIN;
    while (this.#room < 2 * members.length) this.#room *= 2;
    this.#winners = Array.from({ length: 2 * this.#room }, () => undefined);
    this.#end = members.length;
    for (const [place, member] of members.entries()) {
      member.position = place;
      this.#winners[this.#room + place] = member;
    }
    for (let node = this.#room - 1; node > 0; node -= 1) this.#judge(node);
  }
}
