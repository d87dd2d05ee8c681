use super::*;

#[test]
fn a_typed_wrong_id_is_near_the_right_one() {
    assert_eq!(distance(b"abc", b"abc"), 0);
    assert!(distance(b"019a-77", b"019a-78-rest-of-it") < distance(b"019a-77", b"zzzz-00-rest-of-it"));
}

#[test]
fn one_filter_leads_and_the_others_only_check() {
    let filter = SessionFilter {
        status: Some(SessionStatus::Active),
        component: Some("c".into()),
        session_type: Some("t".into()),
        ..SessionFilter::default()
    };
    let (sql, _) = list_sql(&filter, Page::first(1));
    assert!(sql.contains("WHERE status = ? AND +component = ? AND +session_type = ?"), "{sql}");
    let (sql, _) = list_sql(&SessionFilter { status: None, ..filter }, Page::first(1));
    assert!(sql.contains("WHERE component = ? AND session_type = ?"), "{sql}");
}
