//! Aligned columns. By hand: the crates that draw tables bring borders and terminal handling, and this is all that is needed.

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A table under one more line that names groups of columns: how many, and what they have in common.
pub(super) fn grouped(groups: &[(usize, &str)], columns: &[Align], rows: &[Vec<String>]) -> String {
    let widths = widths(columns, rows);
    let mut widths = widths.iter();
    let cells = groups.iter().map(|&(count, name)| {
        let width = widths.by_ref().take(count).map(|width| width + 2).sum::<usize>().saturating_sub(2);
        match name {
            "" => " ".repeat(width),
            name => format!("{:─^width$}", format!(" {name} ")),
        }
    });
    format!("{}\n{}", cells.collect::<Vec<_>>().join("  ").trim_end(), table(columns, rows))
}

fn widths(columns: &[Align], rows: &[Vec<String>]) -> Vec<usize> {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    (0..columns.len()).map(width).collect()
}

/// Lines with the columns aligned, two spaces between them; the first row is the head. No line ends in spaces.
pub(super) fn table(columns: &[Align], rows: &[Vec<String>]) -> String {
    let widths = widths(columns, rows);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(columns).zip(&widths).map(|((cell, align), &width)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_characters() {
        let rows =
            [["a", "p99"], ["long", "1 µs"], ["b", "20 ms"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&[Align::Left, Align::Right], &rows), "a       p99\nlong   1 µs\nb     20 ms\n");
    }

    #[test]
    fn groups_stand_above_their_columns() {
        let rows = [["a", "due p50", "due p99", "b"]].map(|row| row.map(str::to_owned).to_vec());
        let columns = [Align::Left, Align::Right, Align::Right, Align::Right];
        let text = grouped(&[(1, ""), (2, "time")], &columns, &rows);
        assert_eq!(text, "   ───── time ─────\na  due p50  due p99  b\n");
    }
}
