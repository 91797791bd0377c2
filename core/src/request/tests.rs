use super::Kind;

#[test]
fn kind_from_path() {
    let table: [(&str, Kind); 11] = [
        ("/v1/chat/completions", Kind::Chat),
        ("/v1/chat/completions?api-version=1", Kind::Chat),
        ("/v1/chat/completions/", Kind::Chat),
        ("/tenant/a/v1/chat/completions#x", Kind::Chat),
        ("/v1/completions", Kind::Completion),
        (
            "/openai/v1/completions?x=/v1/chat/completions",
            Kind::Completion,
        ),
        ("/v1/completions/extra", Kind::Other),
        ("/v2/completions", Kind::Other),
        ("/v1/models", Kind::Other),
        ("?/v1/completions", Kind::Other),
        ("", Kind::Other),
    ];
    for (path, kind) in table {
        assert_eq!(Kind::from_path(path.as_bytes()), kind, "{path}");
    }
}
