// The story in five steps: settings and a few sentences each.

import { USUAL } from "./settings.js";

export const STORY = [
  {
    title: "It finds the teacher",
    set: { noise: 0, steps: 200, speed: 10 },
    text: `<p>A net with twelve bits <i>w</i> outputs 1 where <i>w·x</i> > 0, and 0 elsewhere. A teacher with known bits labelled
1,600 random inputs <i>x</i>. The student starts with seven wrong bits, crossed out below. Gradient descent moves the latent
weights. When one crosses zero, its bit flips.</p><p>These labels have no noise, so there is no recurrence yet. After about forty steps every bit is
right and the gradient is zero: nothing can move any more. This is <em>proved</em>, not guessed from a long run. (The averages
still include the first steps.) Noisy labels come <a href="#story=2">next</a>.</p>`,
  },
  {
    title: "It leaves and returns",
    set: { steps: 20000, speed: 20 },
    text: `<p>The inputs are the same, but each label now has a normal error (σ = 0.5), drawn once. This noise leaves a small, constant
gradient at the teacher. It pushes some latent weights over zero, and the data pull them back. Each triangle marks a return.
Every step uses all samples, so the cause is not minibatch noise.</p><p>To leave and return without end is <strong>recurrence</strong>. A run shows it only up to its last step. A
<strong>certificate</strong> <em>proves</em> for these data that it never ends. <a href="#story=2" data-to="land">It is shown
below</a>, and fills the column <em>proved</em> of the table.</p>`,
  },
  {
    title: "The average knows",
    set: { steps: 20000, speed: 1000, view: "average" },
    text: `<p>When should training stop? At any step, it is a matter of luck whether the last bits are right. Watch the bars instead:
they are the time averages of the bits. The ticks show where a law expects them to end. The dashed line counts the averages with
a wrong sign. It goes to zero and stays there.</p><p><strong>Why the average is right</strong>: the push of the noise acts at every step, but it nearly cancels
among 1,600 samples. The pull of the data acts only while a bit is wrong, and does not cancel. So each bit is right most of
the time. Switch between <em>last</em> and <em>average</em> above the bits.</p>`,
  },
  {
    title: "Chatter with many bits",
    set: { n: 128, samples: 512, noise: 0, seed: 1, init: 1, steps: 6000, speed: 500 },
    text: `<p>Now there are 128 bits, only four samples for each, and no noise. The teacher <em>is</em> a resting point, yet the run
does not reach it: about a dozen bits are wrong at any time. With few samples, each wrong bit disturbs the gradients of all
others and pushes some of them wrong. Even the average has a few wrong signs.</p><p>This is <strong>chatter</strong>. Without noise it ends only by chance, after a time that grows exponentially
with the number of bits (an approximation that runs support).</p>`,
  },
  {
    title: "Restart cures it",
    set: { n: 128, samples: 512, noise: 0, seed: 1, init: 1, restart: "300,0.05", steps: 6000, speed: 200 },
    text: `<p>The data and the start are the same. But after every 300 steps, at the dotted lines, each latent weight is set to a
multiple of the average of its bit since the last restart, and the step sizes start again. In the average most of the chatter
cancels.</p><p>After the second restart the last wrong bits flip and the run rests, <em>proved</em> as in the first step. This is
<strong>ergodic restart</strong>. Runs without label noise show that it works; no theorem does.</p>`,
  },
];

/** The settings of a step of the story, or the usual ones. */
export const storySettings = (step) => ({ ...USUAL, ...(step ? STORY[step - 1].set : {}) });
