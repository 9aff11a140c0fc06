// The story: for each step its settings, a sentence that holds at any settings, and a text that holds at its own.

import { USUAL } from "./settings.js";

const MANY = { n: 128, samples: 512, noise: 0, seed: 1, init: 1 };

/** {n} and the like stand for numbers that the reader drags. */
export const STORY = [
  {
    title: "Two weights in a plane",
    set: { n: 2, samples: 200, noise: 0, steps: 200, speed: 2 },
    setup: "A net with {n} one-bit weights <i>w</i> answers 1 where <i>w·x</i> > 0, and 0 elsewhere. A teacher with known bits labelled {samples} random inputs <i>x</i>.",
    text: `<p>Each bit is the sign of a real number, its <strong>latent weight</strong>. Here two of them are the coordinates of the dark dot. Its
quadrant gives the two bits, and these give the blue half-plane.</p><p>A sign has no gradient to descend. The <strong>straight-through estimator</strong> ignores
it in the backward pass: <code>w = u + (u.sign() - u).detach()</code>. So wrong answers move the dot as if there were no sign. Where it crosses an axis, a bit flips.</p>`,
  },
  {
    title: "Twelve weights find the teacher",
    set: { noise: 0, steps: 200, speed: 5 },
    setup: "Now the net has {n} bits, with {samples} samples and label noise σ = {noise}.",
    text: `<p>Seven bits start wrong. The data pull each wrong bit home: its latent weight moves to zero and over it, and the bit flips.</p>
<p>After about forty steps every bit is right. No label is missed, so the gradient is exactly zero and nothing can move any more. This is <em>proved</em>, not guessed from a long run.</p>`,
  },
  {
    title: "It leaves and returns",
    set: { steps: 20000, speed: 20 },
    setup: "Each label now has a normal error with σ = {noise}, drawn once with the data.",
    text: `<p>The errors nearly cancel among the samples, but not quite: a small, constant gradient remains at the teacher. It pushes some latent weights out, until one
crosses zero. Now that bit is wrong, the data pull it back, and the run is at the teacher again. Each triangle marks a return.</p><p>To leave and return without end is
<strong>recurrence</strong>. Every step uses all samples, so the cause is not minibatch noise. Whether the <em>last</em> bits are right is a matter of luck.</p>`,
  },
  {
    title: "The average knows",
    set: { steps: 20000, speed: 1000, view: "average" },
    setup: "The same run, faster: {n} weights, {samples} samples, label noise σ = {noise}.",
    text: `<p>The <em>push</em> of the label errors acts at every step, but it is weak. The <em>pull</em> of the data acts only while the bit is wrong, and it is strong.</p>
<p>A latent weight stays near zero, so in the long run the two balance: time wrong × pull = time × push. The bit is wrong in a share push/pull of the steps. <strong>Below
one half, its time average has the right sign.</strong> So average the signs: all twelve point to the teacher, and the dashed line goes to zero.</p>`,
  },
  {
    title: "A proof for these data",
    set: { steps: 20000, speed: 50 },
    setup: "A run shows only what happened so far. Does it go on? For these data, with σ = {noise}, there is a proof.",
    text: `<p>A latent weight comes home only as far as it was pushed out. So for each bit, over a long run, push − pull is not negative on average.</p><p>A <strong>certificate</strong>
multiplies these by factors λ ≥ 0 and adds them up. At the teacher the sum is positive, at every other state it is negative. Its average is not negative, so the run
must come back, and spends at least a certain share of its time there. <a href="#story=5" data-to="certificate">Do it yourself below</a></p>`,
  },
  {
    title: "A threshold ends it",
    set: { damping: 0.5, schedule: "damped", steps: 20000, speed: 2 },
    setup: "The same data, but each latent weight is also drawn to its own bit: damping θ = {damping}.",
    text: `<p>The draw holds a bit against any push weaker than θ times the pull on a wrong bit. So θ is a <strong>threshold</strong>. The push of the label errors is weaker: the latent weight stops before zero, and
no right bit leaves. The pull on a wrong bit is stronger: it still comes home.</p><p>After fifteen steps the run rests at the teacher. Drag θ down to 0.1, and the flipping is back.</p>`,
  },
  {
    title: "Chatter with many bits",
    set: { ...MANY, steps: 6000, speed: 500 },
    setup: "Now {n} bits, only {samples} samples, and label noise σ = {noise}.",
    text: `<p>Without noise the teacher <em>is</em> a resting point, yet the run does not reach it: about a dozen bits are wrong at any time. With few samples each wrong bit disturbs the
gradients of all others and pushes some of them wrong. Even the average has a few wrong signs.</p><p>This is <strong>chatter</strong>. It ends only by chance, after a time that
grows exponentially with the number of bits (an approximation that runs support).</p>`,
  },
  {
    title: "Restart cures it",
    set: { ...MANY, restart: "300,0.05", steps: 6000, speed: 200 },
    setup: "The same {n} bits and {samples} samples, with label noise σ = {noise}, but with restarts.",
    text: `<p>After every 300 steps, at the dotted lines, each latent weight is set to a multiple of the average of its bit since the last restart, and the step sizes start again. In the
average most of the chatter cancels.</p><p>After the second restart the last wrong bits flip and the run rests, <em>proved</em>. Runs without label noise show that <strong>ergodic restart</strong> works; no
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
