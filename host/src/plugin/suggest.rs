/// The name that was probably meant by `wrong`, if any of `known` is near enough.
pub(crate) fn suggest<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| {
            let same = |c: char| match c {
                '_' | ' ' => '-',
                c => c.to_ascii_lowercase(),
            };
            let (a, b): (String, String) = (
                wrong.chars().map(same).collect(),
                name.chars().map(same).collect(),
            );
            (name, strsim::jaro_winkler(&a, &b))
        })
        .filter(|&(_, likeness)| likeness >= 0.8)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(name, _)| name)
}

/// `a, b and c`, each in backquotes.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_what_was_meant_and_nonsense_finds_nothing() {
        let known = ["segment-ms", "part-ms", "window-s"];
        assert_eq!(suggest("part_ms", known), Some("part-ms"));
        assert_eq!(suggest("prat-ms", known), Some("part-ms"));
        assert_eq!(suggest("colour", known), None);
        assert_eq!(list(known), "`segment-ms`, `part-ms` and `window-s`");
        assert_eq!(list([]), "nothing");
    }
}
