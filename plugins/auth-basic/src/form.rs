use picam_plugin::{text, xml};

/// Fields of the form.
pub const NAME: &str = "name";
pub const PASSWORD: &str = "password";

/// Nothing but the page itself and its style, sent nowhere but here, shown in no frame of another site.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'";

const STYLE: &str = "body{font:16px system-ui,sans-serif;background:#111;color:#eee;display:grid;place-items:center;\
                     min-height:90vh;margin:0}form{display:grid;gap:.8em;width:min(18em,90vw)}h1{font-size:1.2em;margin:0}\
                     input,button{font:inherit;padding:.5em;width:100%;box-sizing:border-box}p{margin:0;color:#f99}";

/// The login form, sent to `action`, with a line that says why it is shown again.
pub fn page(realm: &str, action: &str, message: &str) -> String {
    let (mut title, mut to, mut why) = (String::new(), String::new(), String::new());
    xml::push_escaped(&mut title, realm);
    xml::push_escaped(&mut to, action);
    xml::push_escaped(&mut why, message);
    text::joined(&[
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
        &title,
        "</title><style>",
        STYLE,
        "</style><form method=\"post\" action=\"",
        &to,
        "\"><h1>",
        &title,
        "</h1><p role=\"alert\">",
        &why,
        "</p><label>Name <input name=\"name\" autocomplete=\"username\" autocapitalize=\"none\" required autofocus></label>\
         <label>Password <input name=\"password\" type=\"password\" autocomplete=\"current-password\" required></label>\
         <button>Watch</button></form></html>\n",
    ])
}
