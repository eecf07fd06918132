//! How are rows laid out for people?

/// How a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// The rows below their heads, in columns as wide as their widest cell, two spaces apart.
pub(super) fn aligned<const COLUMNS: usize>(heads: [(&str, Align); COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let heads_row = heads.map(|(head, _)| head.to_owned());
    let cells: Vec<[String; COLUMNS]> =
        std::iter::once(heads_row).chain(rows.iter().map(|row| row.clone().map(|cell| printable(&cell)))).collect();
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in &cells {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            let width = widths[column];
            line += &match heads[column].1 {
                Align::Left => format!("{gap}{cell:<width$}"),
                Align::Right => format!("{gap}{cell:>width$}"),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Names beside their values, for one thing.
pub(super) fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:<width$}  {}\n", printable(value))).collect()
}

/// Names come from anybody: a control character in one must not reach the terminal.
fn printable(cell: &str) -> String {
    cell.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Align, aligned, fields};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["é".into(), "10 GiB".into()], ["longer".into(), "4 B".into()]];
        let text = aligned([("NAME", Align::Left), ("SIZE", Align::Right)], &rows);
        assert_eq!(text, "NAME      SIZE\né       10 GiB\nlonger     4 B\n");
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(fields(&[("name", "a\x1b[2Jb\n".into())]), "name  a\u{fffd}[2Jb\u{fffd}\n");
    }
}
