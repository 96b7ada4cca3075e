use crate::Inputs;

/// ```
/// use picam_plugin::Inputs;
///
/// let inputs = Inputs::none().cookies(&["session"]).headers(&["authorization"]);
/// assert_eq!(inputs.cookies, ["session"]);
/// assert!(!inputs.method);
/// ```
impl Inputs {
    /// Nothing of a request but its path.
    pub fn none() -> Self {
        Self {
            query: Vec::new(),
            headers: Vec::new(),
            cookies: Vec::new(),
            method: false,
            peer: false,
            form: false,
        }
    }

    /// These query parameters, too.
    #[must_use]
    pub fn query(mut self, names: &[&str]) -> Self {
        extend(&mut self.query, names);
        self
    }

    /// These header fields, too.
    #[must_use]
    pub fn headers(mut self, names: &[&str]) -> Self {
        extend(&mut self.headers, names);
        self
    }

    /// These cookies, too.
    #[must_use]
    pub fn cookies(mut self, names: &[&str]) -> Self {
        extend(&mut self.cookies, names);
        self
    }

    /// The method, too. Without it, `GET` and `HEAD` are the same to the plugin.
    #[must_use]
    pub fn method(mut self) -> Self {
        self.method = true;
        self
    }

    /// The peer's address, too.
    #[must_use]
    pub fn peer(mut self) -> Self {
        self.peer = true;
        self
    }

    /// The method and the body of a form, too.
    #[must_use]
    pub fn form(mut self) -> Self {
        self.method = true;
        self.form = true;
        self
    }
}

fn extend(list: &mut Vec<String>, names: &[&str]) {
    list.extend(names.iter().map(|name| String::from(*name)));
}
