// The story in five steps; each is settings and a few sentences.

import { USUAL } from "./settings.js";

export const STORY = [
  {
    title: "It finds the teacher",
    set: { noise: 0, steps: 200, speed: 10 },
    text: `<p>A net with twelve bits <i>w</i> says 1 where <i>w·x</i> > 0, else 0. A teacher with known bits labelled 1,600
random <i>x</i>. The student starts with seven wrong bits, crossed out below. Gradient descent moves the latent weights;
where one crosses zero, its bit flips.</p><p>These labels are clean, so there is no recurrence yet. After some
forty steps every bit is right and the gradient is zero: nothing can move any more. That it stays so is <em>proved</em>, not
guessed from watching long enough. (The averages still remember the way there.) Noisy labels come <a href="#story=2">next</a>.</p>`,
  },
  {
    title: "It leaves and returns",
    set: { steps: 20000, speed: 20 },
    text: `<p>The same inputs, but to each label a normal number (σ = 0.5) was added, once. This noise leaves a small constant gradient at the teacher,
which pushes some latent weights over zero; then the data pull them back. Each triangle marks a return. Every step uses all
samples, so this is no noise of minibatches.</p><p>Leaving and returning for ever is <strong>recurrence</strong>. A run can
only show it so far. That it never ends is <em>proved</em> for these data by a <strong>certificate</strong>. <a
href="#story=2" data-to="land">It stands below</a>, and fills the column <em>proved</em> of the table.</p>`,
  },
  {
    title: "The average knows",
    set: { steps: 20000, speed: 1000, view: "average" },
    text: `<p>So when do you stop? Whenever you do, whether the last bits are right is a matter of luck. Watch the bars instead: the
time average of each bit, on its way to somewhere near the tick that a law foretells. The dashed line counts the wrong signs among them. It
goes to zero and stays there.</p><p><strong>Why the average is right</strong>: the push of the noise acts all the time, but
it nearly cancels among 1,600 samples. The pull of the data acts only while a bit is wrong, and does not cancel. So each bit
is right most of the time. Switch between <em>last</em> and <em>average</em> above the bits.</p>`,
  },
  {
    title: "Chatter with many bits",
    set: { n: 128, samples: 512, noise: 0, seed: 1, init: 1, steps: 6000, speed: 500 },
    text: `<p>Now 128 bits, only four samples for each, and clean labels again. The teacher <em>is</em> a resting point, yet the run
does not come there: about a dozen bits are wrong at a time. With so few samples each of them
disturbs the gradients of all others and pushes some wrong in turn. Even the average is
off in a few.</p><p>This is <strong>chatter</strong>. Without noise it ends by chance only, after a time that grows
exponentially with the number of bits (an approximation; runs support it).</p>`,
  },
  {
    title: "Restart cures it",
    set: { n: 128, samples: 512, noise: 0, seed: 1, init: 1, restart: "300,0.05", steps: 6000, speed: 200 },
    text: `<p>The same data and the same start. But after every 300 steps, at the dotted lines, each latent weight is set to a
multiple of the average of its bit since the last restart, and the step sizes begin anew. In the average most of the chatter
has cancelled.</p><p>After the second one the last wrong bits go and the run
rests, <em>proved</em> as in the first step. This is <strong>ergodic restart</strong>. That it works was measured on runs
without label noise; no theorem says so.</p>`,
  },
];

/** The settings of a step of the story, or the usual ones. */
export const storySettings = (step) => ({ ...USUAL, ...(step ? STORY[step - 1].set : {}) });
