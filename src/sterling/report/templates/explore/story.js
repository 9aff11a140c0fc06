// The story: for each step its settings, a sentence that holds at any settings, and a text that holds at its own.

import { USUAL } from "./settings.js";

const MANY = { n: 128, samples: 512, noise: 0, seed: 1, init: 1 };

/** {n} and the like stand for numbers that the reader drags. */
export const STORY = [
  {
    title: "Two weights in a plane",
    set: { n: 2, samples: 200, noise: 0, steps: 200, speed: 2 },
    setup: "A net with {n} one-bit weights <i>w</i> learns from {samples} random inputs <i>x</i>, labelled by a teacher with known bits.",
    text: `<p>It answers 1 where <i>w·x</i> > 0, and 0 elsewhere. Each bit is the sign of a real number, its <strong>latent weight</strong> <i>u</i>. The dark dot,
in the same plane as the inputs, is both of them. Its quadrant gives the bits, and these give the blue half-plane.</p><p>A sign has no gradient. The <strong>straight-through
estimator</strong> ignores it in the backward pass: <code>w = u + (u.sign() - u).detach()</code> The step from 0 to 1 has none either: a surrogate replaces its derivative. So wrong answers move the dot.
Where it crosses an axis, a bit flips.</p>`,
  },
  {
    title: "Twelve weights find the teacher",
    set: { noise: 0, steps: 200, speed: 5 },
    setup: "Now the net has {n} bits, with {samples} samples and label noise σ\u00a0=\u00a0{noise}.",
    text: `<p>Each bead is one latent weight. Its arrow, minus the gradient, shows which way it moves. Seven bits start wrong, in orange. The data pull each wrong bit home: its bead crosses zero, and the bit flips. On the way a right bit may flip too; then it comes home as well.</p>
<p>After about forty steps every bit is right. No label is missed, so the gradient is exactly zero and nothing can move any more. This is <em>proved</em>, not guessed from a long run.</p><p>Drag a bead over zero, or click a bit, and watch it come home.</p>`,
  },
  {
    title: "It leaves and returns",
    set: { steps: 20000, speed: 20 },
    setup: "Each label now has a normal error with σ\u00a0=\u00a0{noise}, drawn once with the data.",
    text: `<p>The errors nearly cancel among the samples, but not quite: a small, constant gradient remains at the teacher. It pushes some beads towards zero, until one
crosses it. Now that bit is wrong, the data pull it back, and the run is at the teacher again. Each triangle marks a return.</p><p>To leave and return without end is
<strong>recurrence</strong>. Every step uses all samples, so the cause is not minibatch noise. Whether the <em>last</em> bits are right is a matter of luck.</p>`,
  },
  {
    title: "The average knows",
    set: { steps: 20000, speed: 1000, view: "average" },
    setup: "Now watch the averages, with {n} weights, {samples} samples and label noise σ\u00a0=\u00a0{noise}.",
    text: `<p>While a bit is right, the label errors <em>push</em> its latent weight out, towards zero and over it, at a mean speed <i>p</i>. While it is wrong, the data <em>pull</em> it home, at a mean speed <i>q</i>.</p>
<p>In the long run it comes home no further than it is pushed out: <i>q</i> · time wrong ≤ <i>p</i> · time right. So the bit is wrong for at most <i>p</i>/(<i>p</i> + <i>q</i>) of the time. <strong>If the pull is
stronger than the push, this is below one half, and its time average has the right sign.</strong></p><p>So average the signs. The bars behind the beads are the averages; black ticks show where an
approximation, a mean-field law, expects them in the long run. The dashed line counts the wrong averages: it goes to zero.</p>`,
  },
  {
    title: "A proof for these data",
    set: { steps: 20000, speed: 50 },
    setup: "A run with {n} weights and label noise σ\u00a0=\u00a0{noise} shows only what happened so far.",
    text: `<p>Does it go on? For these data there is a <strong>proof</strong>. A latent weight can come home only as far as it was pushed out. (Its first way home, from the start, does not count in a long run.) So for each bit,
pushes while right minus pulls while wrong, averaged over a long run, cannot be negative. (Moves of a right bit further home are not counted: they only delay its next flip.)</p><p>A <strong>certificate</strong> is one factor for each bit. Multiply, and add up: each state
gets one number. It is negative in every state but the teacher, yet its average cannot be. Only time at the teacher can make up for the rest: the run must come back, again and again<span id="bound"></span>. <a
href="#story=5" data-to="certificate">Try it on the scales</a></p>`,
  },
  {
    title: "A threshold ends it",
    set: { damping: 0.5, schedule: "damped", beside: "plain", steps: 20000, speed: 2 },
    setup: "Damping draws each latent weight to its own bit, with strength θ\u00a0=\u00a0{damping}. The label noise is σ\u00a0=\u00a0{noise}.",
    text: `<p>It holds a bit against any push below the <strong>threshold</strong> θS. S is the mean pull on a wrong bit over random data; on a right bit that mean is zero. With many samples pulls are near S and pushes near zero, so half of S separates them.
The diamond on each rail shows where its bead is taken while no bit flips. Hollow beads show the run without damping, with the usual step sizes; damping takes constant ones.</p><p>The push on a right bit is below the threshold, so its diamond lies on its own side: the bead never crosses zero again. The pull on a wrong bit is above it:
the diamond lies beyond zero, and the bead comes home. After fifteen steps the bits rest at the teacher. Drag θ down to 0.1: some pushes are stronger than that, and the flipping is back.</p>`,
  },
  {
    title: "Chatter with many bits",
    set: { ...MANY, steps: 6000, speed: 500 },
    setup: "Now there are {n} bits and {samples} samples, with label noise σ\u00a0=\u00a0{noise}.",
    text: `<p>Without noise the teacher <em>is</em> a resting point, yet the run does not reach it: about a dozen bits are wrong at any time. With few samples each wrong bit disturbs the
gradients of all others and pushes some of them wrong. Even the average has a few wrong signs.</p><p>This is <strong>chatter</strong>. It ends only by chance, after a time that
grows exponentially with the number of bits (an approximation that runs support).</p>`,
  },
  {
    title: "Restart ends it",
    set: { ...MANY, restart: "300,0.05", steps: 6000, speed: 200 },
    setup: "Again {n} bits and {samples} samples, with label noise σ\u00a0=\u00a0{noise}.",
    text: `<p>After every 300 steps, at the dotted lines, each latent weight is set to a multiple of the average of its bit since the last restart, and the step sizes start again. In the
average most of the chatter cancels.</p><p>After the second restart the last wrong bits flip and the run rests, <em>proved</em>. (A few bars stay on the wrong side: their averages still hold the first steps.) Runs without label noise show that <strong>ergodic restart</strong> works; no
theorem does.</p>`,
  },
];

/** The settings of a step of the story, or the usual ones. */
export const storySettings = (step) => ({ ...USUAL, ...(step ? STORY[step - 1].set : {}) });

const FREE = ["steps", "speed", "view"];  // they do not change what the text says

/** Whether a step has the settings of which its text speaks. */
export const isToldOf = (step, settings) => {
  const own = storySettings(step);
  return Object.keys(own).every((name) => FREE.includes(name) || own[name] === settings[name]);
};
