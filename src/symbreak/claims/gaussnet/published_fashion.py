"""Numbers that arXiv:2106.00694 shows in figures only: accuracy maps and the one-cold curve on Fashion-MNIST.

Read off the colour bars and axes of the paper's figures (as PNGs in github.com/abelclaw/iaifi-research-blog,
``site/public/figures/2106_00694/figure_2.png`` and ``figure_3.png``) from their pixels, for the design catalogue; no
table of them is printed. Colours can be told apart to about 0.3 points, and end at 85.4 % (accuracies above are no
surer than that) and at 0.4 (spreads below read as that). A module and not a table of its own, so that the code
fingerprint of whatever uses a number covers it.
"""

K = (0, 2, 4, 6, 8, 10)
RUNS = 10  # networks a cell of the map
READING = 0.003  # uncertainty of an accuracy read off the colour bar, a fraction

# mu, then accuracy in percent by K: mean over RUNS of the best test accuracy of 20 epochs, one-hot targets.
_ACCURACY = (
    (0.0, 85.76, 85.62, 85.76, 85.76, 85.76, 85.62),
    (0.01, 85.77, 85.77, 85.76, 85.76, 85.76, 85.77),
    (0.02, 85.76, 85.62, 85.62, 85.62, 85.76, 85.62),
    (0.03, 85.76, 85.62, 85.62, 85.62, 85.43, 85.35),
    (0.04, 85.76, 85.43, 85.35, 85.35, 85.24, 85.09),
    (0.05, 85.76, 85.43, 85.35, 85.09, 84.97, 84.87),
    (0.06, 85.77, 85.43, 85.24, 84.97, 84.71, 84.13),
    (0.07, 85.76, 85.35, 84.87, 84.62, 84.23, 83.78),
    (0.08, 85.77, 85.24, 84.97, 84.01, 82.93, 82.82),
    (0.09, 85.62, 85.09, 84.62, 84.01, 81.96, 80.39),
    (0.1, 85.76, 84.71, 83.68, 82.82, 81.32, 79.18),
    (0.11, 85.76, 84.51, 83.37, 81.22, 80.63, 78.6),
    (0.12, 85.76, 84.62, 83.1, 81.68, 80.75, 75.42),
    (0.13, 85.76, 83.68, 82.93, 79.18, 77.55, 76.27),
    (0.14, 85.76, 83.78, 79.92, 77.38, 76.6, 72.28),
    (0.15, 85.76, 82.14, 80.75, 76.6, 72.82, 68.07),
    (0.16, 85.76, 83.68, 78.97, 76.6, 70.56, 67.58),
    (0.17, 85.76, 81.32, 79.79, 71.18, 69.93, 60.65),
    (0.18, 85.76, 82.27, 77.22, 69.07, 66.3, 59.42),
    (0.19, 85.62, 79.79, 75.48, 70.01, 62.4, 55.57),
    (0.2, 85.76, 80.16, 74.4, 66.4, 56.73, 52.83),
)
# mu, then spread over the runs by K. Its unit is not printed: read as percent of the cell's accuracy, as a comment in
# the authors' script has it (standard deviation over mean); as points it would be larger by up to a half.
_SPREAD = (
    (0.0, 0.38, 0.38, 0.38, 0.4, 0.38, 0.38),
    (0.01, 0.4, 0.38, 0.38, 0.4, 0.38, 0.38),
    (0.02, 0.4, 0.38, 0.4, 0.38, 0.38, 0.38),
    (0.03, 0.4, 0.4, 0.4, 0.38, 0.38, 0.38),
    (0.04, 0.38, 0.38, 1.04, 0.82, 0.38, 0.38),
    (0.05, 0.4, 0.38, 0.4, 0.44, 0.38, 0.58),
    (0.06, 0.4, 0.44, 0.44, 0.54, 0.38, 1.54),
    (0.07, 0.38, 0.4, 0.89, 1.13, 1.2, 1.6),
    (0.08, 0.4, 0.38, 0.38, 1.54, 2.49, 2.49),
    (0.09, 0.38, 0.4, 1.0, 1.38, 2.26, 5.49),
    (0.1, 0.4, 0.94, 1.79, 2.33, 2.54, 5.92),
    (0.11, 0.38, 0.94, 2.09, 1.54, 3.57, 4.88),
    (0.12, 0.38, 0.54, 2.03, 2.72, 3.82, 8.47),
    (0.13, 0.4, 1.72, 2.03, 4.06, 4.33, 5.66),
    (0.14, 0.38, 1.38, 4.33, 4.36, 6.51, 8.58),
    (0.15, 0.4, 2.91, 3.46, 5.04, 7.51, 12.42),
    (0.16, 0.44, 1.82, 5.29, 5.66, 8.54, 10.72),
    (0.17, 0.4, 5.23, 3.57, 10.72, 9.89, 11.03),
    (0.18, 0.38, 2.36, 6.06, 10.72, 10.08, 14.88),
    (0.19, 0.38, 5.49, 7.34, 9.4, 15.49, 17.23),
    (0.2, 0.38, 4.04, 6.33, 11.74, 14.48, 16.09),
)
ACCURACY = {(row[0], k): value / 100 for row in _ACCURACY for k, value in zip(K, row[1:], strict=True)}
SPREAD = {(row[0], k): value / 100 for row in _SPREAD for k, value in zip(K, row[1:], strict=True)}

# mu: mean and ends of the 95 % band of the mean, in percent; one-cold targets, k = 10, 20 runs a point, read to 0.01.
ONE_COLD = {
    0.00: (85.57, 85.46, 85.67),
    0.01: (85.65, 85.57, 85.74),
    0.02: (85.84, 85.74, 85.92),
    0.03: (85.84, 85.77, 85.92),
    0.04: (85.80, 85.70, 85.89),
    0.05: (85.71, 85.63, 85.79),
    0.06: (85.53, 85.43, 85.62),
    0.07: (85.36, 85.25, 85.45),
    0.08: (85.05, 84.93, 85.17),
    0.09: (84.83, 84.70, 84.94),
    0.10: (84.68, 84.55, 84.82),
}
