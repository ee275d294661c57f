//! A line of a text as it is written, with a caret under a column. Long lines are cut around it.

/// Most characters of a line that are shown.
const WIDTH: usize = 120;
/// Characters before the caret, where a line is cut.
const BEFORE: usize = 60;

/// A text whose lines are found at once.
pub(super) struct Lines<'t> {
    lines: Vec<&'t str>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Lines { lines: text.lines().collect() }
    }

    /// The line and the caret; nothing where there is no such line. Both numbers count from 1; column 0: no caret.
    pub(super) fn excerpt(&self, line: u32, column: u32) -> String {
        let index = |number: u32| usize::try_from(number).ok()?.checked_sub(1);
        let Some(written) = index(line).and_then(|i| self.lines.get(i)) else { return String::new() };
        let caret = index(column);
        let cut = caret.filter(|caret| *caret >= WIDTH).map_or(0, |caret| caret - BEFORE);
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String = written.chars().skip(cut).take(WIDTH).map(visible).collect();
        let dots = if cut == 0 { "" } else { "…" };
        let mut out = format!("\t\t{line} | {dots}{}\n", shown.trim_end());
        if let Some(caret) = caret {
            let margin = line.to_string().len();
            let indent = caret - cut + dots.chars().count();
            out.push_str(&format!("\t\t{:margin$} | {:indent$}^\n", "", ""));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_is_under_the_column() {
        let lines = Lines::of("a:\r\n\tb: ä x\n");
        assert_eq!(lines.excerpt(2, 7), "\t\t2 |  b: ä x\n\t\t  |       ^\n");
        assert_eq!(lines.excerpt(1, 0), "\t\t1 | a:\n");
        assert_eq!((lines.excerpt(3, 1), lines.excerpt(0, 0)), (String::new(), String::new()));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let shown = Lines::of(&line).excerpt(1, 5001);
        let want = format!("\t\t1 | …{}X{}\n\t\t  | {}^\n", "a".repeat(60), "b".repeat(59), " ".repeat(61));
        assert_eq!(shown, want);
    }
}
