// One run of the STE-gradient method, from weight flip to weight flip: the same flips at the same steps, and the same
// latents, as `sterling.train`. Between two flips the latents move on straight lines in the mass of the
// schedule; which step is the first with a flip is decided by the definition, to the last bit:
// u_t = u_a − (η_a + … + η_{t−1})·G and w_t = sign(u_t), sign(0) = +1, with a the step of the last flip. Damped latents
// move on straight lines too, in the travel of `relax.js` instead of the mass, by a force instead of the gradient.

import { Gradients } from "./gradient.js";
import { History } from "./history.js";
import { MOST_WEIGHTS } from "./landscape.js";
import { Masses } from "./mass.js";
import { signal } from "./laws.js";
import { initialLatent } from "./problem.js";
import { Relaxation } from "./relax.js";

const FARTHEST = 1e12;  // steps
const LARGE = 1 << 17;  // input entries above which a single flip may take milliseconds

/** The first whole number in (after, limit] from which on `holds`, or limit + 1; found fast where `guess` is near it. */
function firstWhere(holds, guess, after, limit) {
  let below = after, above = limit + 1, at = guess;
  for (let stride = 1; above - below > 1; stride *= 2) {
    at = Math.min(above - 1, Math.max(below + 1, at));
    if (holds(at)) above = at;
    else below = at;
    if (above > limit) at = below + stride;
    else at = below === after ? above - stride : below + Math.floor((above - below) / 2);
  }
  return above;
}

export class Run {
  /**
   * data: from `draw`; options: {surrogate, schedule, restart: null or {every, scale}, damping, init: a seed or
   * latents, log: whether to keep every flip in `flips` as step, weight, sign, gradients: those of an earlier run that
   * is not used any more}.
   */
  constructor(data, { surrogate, schedule, restart = null, damping = 0, init = 0, log = false, gradients = null }) {
    const n = data.n;
    this.data = data;
    this.n = n;
    this.surrogate = surrogate;
    this.restart = restart;
    this.masses = new Masses(schedule, data.m);
    this.relaxation = damping > 0 ? new Relaxation(this.masses, damping * signal(n, data.m, surrogate)) : null;
    this.travels = this.relaxation ?? this.masses;  // in which latents move on straight lines
    this.force = new Float64Array(n);
    this.gradients = gradients ?? new Gradients(data, surrogate);
    this.latent = typeof init === "number" ? initialLatent(n, init) : Float64Array.from(init);
    this.signs = Int8Array.from(this.latent, (u) => (u >= 0 ? 1 : -1));
    this.key = this.gradients.keyOf(this.signs);
    this.step = 0;  // T: iterates 0 … T − 1 are accounted for, and w_T is known
    this.anchor = 0;  // since when the weights rest
    this.epoch = 0;  // step of the last restart
    this.since = new Float64Array(n);  // step of each weight's last flip
    this.wrongSteps = new Float64Array(n);
    this.sinceMass = new Float64Array(n);
    this.balance = new Float64Array(n);  // Σ sign·mass of finished intervals
    this.epochBalance = new Float64Array(n);
    this.total = 0;  // mass at the anchor, in two floats
    this.carry = 0;
    this.epochMass = 0;
    this.distance = 0;
    for (let k = 0; k < n; k++) if (this.signs[k] !== data.teacher[k]) this.distance++;
    this.visits = 0;
    this.returns = 0;
    this.firstHit = -1;
    this.occupied = 0;
    this.arrived = -1;
    this.left = -1;
    this.history = new History(this.distance);
    this.flips = log ? [] : null;
    this.onFlip = null;
    this.stays = n <= MOST_WEIGHTS ? new Float64Array(2 ** n) : null;  // steps at each state, by its number
    this.look();
  }

  /** The same run at the same step, to go on with. It shares the gradients, so the other may not go on before `resume`. */
  copy() {
    const other = Object.assign(Object.create(Run.prototype), this);
    for (const [name, value] of Object.entries(this)) if (value?.slice) other[name] = value.slice();
    other.key = { words: this.key.words.slice(), hash: this.key.hash };
    other.history = this.history.copy();
    return other;
  }

  /** Go on with a run after another one has used its gradients. */
  resume() {
    this.at = this.gradients.at(this.signs, this.key);
    return this;
  }

  /** Look up the gradient at the anchor, and when the next flip comes. */
  look() {
    const { latent, signs, n } = this;
    this.at = this.gradients.at(signs, this.key);
    const G = this.gradients.values, { at, force } = this, hold = this.relaxation?.hold ?? 0;
    let ratio = -1;
    for (let k = 0; k < n; k++) {
      const u = latent[k], g = G[at + k];
      force[k] = hold > 0 ? (g - hold * signs[k]) + hold * u : g;
      if (!(g * signs[k] > hold)) continue;  // it cannot turn
      const own = u !== 0 ? force[k] / u : Infinity;
      if (own > ratio) ratio = own;
    }
    this.absorbed = ratio <= 0;
    this.limit = this.restart ? this.epoch + this.restart.every - 1 : FARTHEST;
    this.nextStep = Infinity;
    if (!this.absorbed) this.findFlip(ratio);
  }

  flipsAt(travel) {
    const { latent, signs, n, force } = this;
    for (let k = 0; k < n; k++) if ((latent[k] - travel * force[k] >= 0) !== (signs[k] > 0) && this.turns(k)) return true;
    return false;
  }

  /** Whether weight k turns where its latent crosses zero. A damped latent that is held only does so by rounding. */
  turns(k) {
    return this.relaxation === null || this.gradients.values[this.at + k] * this.signs[k] > this.relaxation.hold;
  }

  /** Set `nextStep`, the first step after the anchor with a flip, and `nextTravel`, the travel up to it. */
  findFlip(ratio) {
    const { travels, epoch } = this, anchor = this.anchor - epoch, until = this.limit - epoch;
    const flips = (step) => {
      const travel = travels.between(anchor, step), found = this.flipsAt(travel);
      if (found) this.nextTravel = travel;  // in the end that of the first such step
      return found;
    };
    const step = firstWhere(flips, travels.guess(anchor, 1 / ratio), anchor, until);
    if (step <= until) this.nextStep = epoch + step;
  }

  /** Run on to step `until`, or until `pause()` says so, which is asked now and then; return whether it got there. */
  advance(until, pause = null) {
    const often = this.data.rows.length > LARGE ? 1 : 16;  // flips between two questions
    for (let count = 1; this.nextEvent <= until; count++) {
      if (this.nextStep <= until) this.flipNow();
      else this.restartNow();
      if (pause !== null && count % often === 0 && pause()) {
        this.step = Math.max(this.step, this.anchor);
        return false;
      }
    }
    this.step = Math.max(this.step, until);
    return true;
  }

  /** The next step at which something happens; Infinity if never. */
  get nextEvent() {
    return this.absorbed || !this.restart ? this.nextStep : Math.min(this.nextStep, this.limit + 1);
  }

  /** Account for the interval from the anchor to `step`, of `mass`, in which no weight flipped. */
  close(step, mass) {
    const { anchor, total } = this, part = mass + this.carry;
    this.total = total + part;
    this.carry = part - (this.total - total);
    if (this.stays !== null) this.stays[this.key.words[0]] += step - anchor;
    if (this.distance === 0) {
      if (this.arrived < 0) {
        this.arrived = anchor;
        this.visits++;
        if (this.firstHit < 0) this.firstHit = anchor;
        if (this.left >= 0) this.returns++;
      }
      this.occupied += step - anchor;
    } else if (this.arrived >= 0) {
      this.left = anchor;
      this.arrived = -1;
    }
  }

  /** Turn weight k at `step`, up to which the mass is accounted for. */
  flip(k, step) {
    const { signs, data, total } = this, sign = signs[k], wrong = sign !== data.teacher[k];
    if (wrong) {
      this.wrongSteps[k] += step - this.since[k];
      this.distance--;
    } else {
      this.distance++;
    }
    this.balance[k] += sign * (total - this.sinceMass[k]);
    this.since[k] = step;
    this.sinceMass[k] = total;
    signs[k] = -sign;
    this.gradients.flip(this.key, k);
    this.history.turn(step, k);
    if (this.flips !== null) this.flips.push(step, k, -sign);
    if (this.onFlip !== null) this.onFlip(k);
  }

  /** The latent of weight k after a travel from the anchor; one that is held stays on its side. */
  moved(k, travel) {
    const now = this.latent[k] - travel * this.force[k], sign = this.signs[k];
    if ((now >= 0) === (sign > 0) || this.turns(k)) return now;
    return sign > 0 ? 0 : -Number.MIN_VALUE;
  }

  flipNow() {
    const { nextStep, nextTravel, latent, signs, n, distance } = this;
    this.close(nextStep, this.relaxation === null ? nextTravel : this.massTo(nextStep));
    for (let k = 0; k < n; k++) {
      latent[k] = this.moved(k, nextTravel);
      if ((latent[k] >= 0) !== (signs[k] > 0)) this.flip(k, nextStep);
    }
    this.rest(nextStep, distance);
  }

  /** Ergodic restart: the latents go back to the time average since the last one, the schedule begins anew. */
  restartNow() {
    const { n, latent, signs, restart, distance } = this, step = this.limit + 1;
    this.close(step, this.massTo(step));
    const unit = restart.scale * this.data.m / Math.sqrt(n), moved = this.total > this.epochMass;
    for (let k = 0; k < n; k++) {
      const balance = this.balance[k] + signs[k] * (this.total - this.sinceMass[k]);
      if (moved) latent[k] = unit * (balance - this.epochBalance[k]);
      this.epochBalance[k] = balance;
      if ((latent[k] >= 0) !== (signs[k] > 0)) this.flip(k, step);
    }
    this.epoch = step;
    this.epochMass = this.total;
    this.rest(step, distance);
  }

  /** Stand at `step`, after `before` weights were wrong, and look ahead. */
  rest(step, before) {
    this.history.add(step, before, this.distance, this.left >= 0 || before === 0);
    this.anchor = step;
    this.look();
  }

  /** The mass from the anchor to a step. */
  massTo(step) {
    return this.masses.between(this.anchor - this.epoch, step - this.epoch);
  }

  // ---- At step T

  /** Where each latent goes while no bit flips, or null for a run without damping, whose latents never rest. */
  restingPoints() {
    if (this.relaxation === null) return null;
    const { at, signs, relaxation: { hold } } = this, G = this.gradients.values;
    return Float64Array.from(signs, (sign, k) => sign - G[at + k] / hold);
  }

  /** Latents u_T. This and what follows include the interval since the anchor. */
  latents() {
    const travel = this.travels.between(this.anchor - this.epoch, this.step - this.epoch);
    return Float64Array.from(this.latent, (_, k) => this.moved(k, travel));
  }

  /** What a step of size 1 takes off each latent: its gradient, with damping also the pull towards its own bit. */
  forces() {
    const { at, signs, relaxation, gradients: { values } } = this, hold = relaxation?.hold ?? 0;
    return this.latents().map((u, k) => values[at + k] - hold * (signs[k] - u));
  }

  /** Time average of each sign, weighted by step size, −1 to 1. */
  average() {
    const total = this.total + (this.massTo(this.step) + this.carry);
    return Float64Array.from(this.signs, (sign, k) => {
      const sum = this.balance[k] + sign * (total - this.sinceMass[k]);
      return total > 0 ? Math.min(1, Math.max(-1, sum / total)) : sign;
    });
  }

  /** Share of the iterates 0 … T − 1 in which weight k is wrong. */
  wrongShare(k) {
    const wrong = this.signs[k] !== this.data.teacher[k];
    if (this.step === 0) return wrong ? 1 : 0;
    return (this.wrongSteps[k] + (wrong ? this.step - this.since[k] : 0)) / this.step;
  }

  /** Visits, returns, steps at the teacher, of the iterates before T. */
  visited() {
    const under = this.step > this.anchor, there = this.distance === 0;
    const arrives = under && there && this.arrived < 0;
    return {
      visits: this.visits + (arrives ? 1 : 0),
      returns: this.returns + (arrives && this.left >= 0 ? 1 : 0),
      occupied: this.occupied + (there ? this.step - this.anchor : 0),
      firstHit: this.firstHit < 0 && arrives ? this.anchor : this.firstHit,
    };
  }

  /** "OPTIMAL" or "TRAPPED", which hold for all time, "RECURRENT" for this run, or null. */
  verdict() {
    if (this.absorbed) return this.distance === 0 || this.gradients.isPerfect(this.signs) ? "OPTIMAL" : "TRAPPED";
    return this.visited().visits >= 2 ? "RECURRENT" : null;
  }
}
