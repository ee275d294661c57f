"""Verdicts: python3 -m unittest discover bench/tests"""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.measure import Sample  # noqa: E402
from harness.rows import Ratio, bound_line, BOUNDS, judge, older_line, older_memory_line, ratio_line, ratios  # noqa: E402
from harness.writes import total  # noqa: E402

ROW = Ratio("a row", "mesh_h1", "c16", 0.40, 1.30)
LATENCY = Ratio("added", "mesh_h1", "r1000", 0.60, 1.30, figure="added")


def sample(column, cpu, p50=None, error=None):
    return Sample(column, {"p50": p50}, cpu=cpu, error=error)


def rounds(ours, envoy, floor):
    return [[sample("ours", o), sample("envoy", e), sample("hyper-floor", f)] for o, e, f in zip(ours, envoy, floor)]


class Verdicts(unittest.TestCase):
    def test_one_comparison_that_holds_is_enough(self):
        self.assertEqual(judge([([0.9] * 5, 0.4), ([1.2] * 5, 1.3)]), ("", "met"))

    def test_missed_when_both_lower_quartiles_are_above(self):
        self.assertEqual(judge([([0.5] * 5, 0.4), ([1.4] * 5, 1.3)]), ("", "missed"))

    def test_a_median_above_with_the_lower_quartile_below_is_met_and_says_so(self):
        remark, verdict = judge([([0.38, 0.39, 0.41, 0.42, 0.43], 0.4), ([2.0] * 5, 1.3)])
        self.assertEqual(verdict, "met")
        self.assertIn("median above", remark)

    def test_nothing_measured_is_missed(self):
        self.assertEqual(judge([([], 0.4), ([], 1.3)]), ("not measured", "missed"))

    def test_ratios_are_of_one_round_not_of_averages(self):
        self.assertEqual(ratios(ROW, rounds([10, 40], [20, 100], [10, 10]), "envoy"), [0.5, 0.4])

    def test_a_round_without_the_peer_gives_no_ratio(self):
        got = [[sample("ours", 10), sample("envoy", None, error="died")], [sample("ours", 10), sample("envoy", 40)]]
        self.assertEqual(ratios(ROW, got, "envoy"), [0.25])

    def test_added_latency_is_above_direct_of_the_same_round(self):
        got = [[sample("ours", 1, 150.0), sample("envoy", 1, 450.0), sample("direct", None, 50.0)]]
        self.assertEqual(ratios(LATENCY, got, "envoy"), [0.25])

    def test_line_ends_in_its_verdict(self):
        self.assertTrue(ratio_line(ROW, rounds([10] * 3, [40] * 3, [10] * 3)).endswith("| met"))

    def test_failed_requests_of_ours_are_a_miss_whatever_the_figures(self):
        got = rounds([10] * 3, [40] * 3, [10] * 3) + [[sample("ours", 10, error="3 of 100 failed")]]
        line = ratio_line(ROW, got)
        self.assertTrue(line.endswith("| missed"))
        self.assertIn("3 of 100 failed", line)

    def test_bound_is_an_upper_limit(self):
        self.assertTrue(bound_line(BOUNDS[0], {"idle_mb": [11.9]}, None).endswith("| met"))
        self.assertTrue(bound_line(BOUNDS[0], {"idle_mb": [12.1]}, None).endswith("| missed"))
        self.assertTrue(bound_line(BOUNDS[0], {}, "ours: not built").endswith("| missed"))

    def test_an_older_build_is_compared_with_round_by_round(self):
        got = [[sample("ours", 8), sample("older", 10)], [sample("ours", 30), sample("older", 30)], [sample("ours", 9), sample("older", 10)]]
        self.assertEqual(ratios(ROW, got, "older"), [0.8, 1.0, 0.9])
        self.assertEqual(older_line(ROW, got), "a row | 0.90 (0.85–0.95) of the older build's, limit 1.03 | met")
        worse = [[sample("ours", 11), sample("older", 10)]] * 3
        self.assertTrue(older_line(ROW, worse).endswith("| missed"))

    def test_latency_beside_an_older_build_is_as_it_is(self):
        row = Ratio("p99", "mesh_h2", "r1000", 1.03, 1.03, "p99")
        got = [[Sample("ours", {"p99": 300.0}), Sample("older", {"p99": 400.0})]]
        self.assertEqual(ratios(row, got, "older"), [0.75])

    def test_idle_memory_is_compared_by_pairs_of_starts(self):
        line = older_memory_line({"idle_mb": [12.0, 12.1], "older_idle_mb": [11.9, 11.9]}, None)
        self.assertTrue(line.endswith("| met"), line)
        self.assertTrue(older_memory_line({"idle_mb": [12.5], "older_idle_mb": [12.0]}, None).endswith("| missed"))

    def test_counted_calls_are_summed_and_what_cannot_be_counted_is_none(self):
        self.assertEqual(total("# started\n\n12,,syscalls:sys_enter_write,1,100.00,,\n<not supported>,,syscalls:sys_enter_sendto,0,100.00,,\n"
                               "30,,syscalls:sys_enter_writev,1,100.00,,\n"), 42)


if __name__ == "__main__":
    unittest.main()
