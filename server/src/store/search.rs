//! A question as each database's full-text index reads it.
//!
//! Terms hold ASCII letters and digits and what lies beyond ASCII (domain/analyzer): nothing of
//! them can be taken for syntax. They are quoted all the same.

use super::dialect::Dialect;
use crate::domain::analyzer::Term;

/// Records that carry every one of `all`, and one of `any` unless that is empty. `None`: nothing
/// was asked.
pub fn expression(dialect: Dialect, all: &[Term], any: &[String]) -> Option<String> {
    let mut parts: Vec<String> = all.iter().map(|term| word(dialect, term)).collect();
    if !any.is_empty() {
        let exact = |text: &String| word(dialect, &Term { text: text.clone(), prefix: false });
        let any: Vec<String> = any.iter().map(exact).collect();
        parts.push(format!("({})", any.join(operators(dialect).1)));
    }
    (!parts.is_empty()).then(|| parts.join(operators(dialect).0))
}

fn operators(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Sqlite => (" AND ", " OR "),
        Dialect::Postgres => (" & ", " | "),
    }
}

fn word(dialect: Dialect, term: &Term) -> String {
    match (dialect, term.prefix) {
        (Dialect::Sqlite, false) => format!("\"{}\"", term.text.replace('"', "\"\"")),
        (Dialect::Sqlite, true) => format!("\"{}\" *", term.text.replace('"', "\"\"")),
        (Dialect::Postgres, false) => format!("'{}'", lexeme(&term.text)),
        (Dialect::Postgres, true) => format!("'{}':*", lexeme(&term.text)),
    }
}

fn lexeme(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "''")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::analyzer::Query;

    #[test]
    fn a_question_is_spelled_for_each_database() {
        let terms = Query::parse("张伟 zhang").unwrap().terms;
        let any = ["a".to_owned(), "b".to_owned()];
        assert_eq!(
            expression(Dialect::Sqlite, &terms, &any).unwrap(),
            r#""张伟" AND "zhang" * AND ("a" OR "b")"#
        );
        assert_eq!(
            expression(Dialect::Postgres, &terms, &any).unwrap(),
            "'张伟' & 'zhang':* & ('a' | 'b')"
        );
        assert_eq!(expression(Dialect::Sqlite, &[], &[]), None);
    }
}
