//! Reads SQL as a server's scanner does, as far as our statements go: anything that ends a statement or begins a comment,
//! and every quote that is not closed, is an error.

use oxyde_sql::Dialect;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A quoted name.
    Name(String),
    /// A literal.
    Text(String),
    /// A keyword, a function, a number.
    Word(String),
    /// A parameter, with its number where it has one.
    Place(Option<usize>),
    Symbol(char),
}

/// The tokens of a statement, or what is wrong with it.
pub fn tokens(sql: &str, dialect: Dialect) -> Result<Vec<Token>, String> {
    let mut reader = Reader {
        rest: sql,
        mysql: matches!(dialect, Dialect::Mysql | Dialect::MariaDb),
        postgres: dialect == Dialect::Postgres,
    };
    let mut tokens = Vec::new();
    let mut open = Vec::new();
    while let Some(token) = reader.next()? {
        match token {
            Token::Symbol(bracket @ ('(' | '[')) => open.push(bracket),
            Token::Symbol(')') if open.pop() != Some('(') => return Err("a ) too many".into()),
            Token::Symbol(']') if open.pop() != Some('[') => return Err("a ] too many".into()),
            _ => {}
        }
        tokens.push(token);
    }
    if open.is_empty() {
        Ok(tokens)
    } else {
        Err(format!("{open:?} is not closed"))
    }
}

struct Reader<'a> {
    rest: &'a str,
    mysql: bool,
    postgres: bool,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<Option<Token>, String> {
        self.rest = self.rest.trim_start_matches([' ', '\n', '\t']);
        let mut chars = self.rest.chars();
        let Some(first) = chars.next() else {
            return Ok(None);
        };
        let second = chars.next();
        let token = match (first, second) {
            ('-', Some('-')) | ('/', Some('*')) => return Err("a comment".into()),
            ('#', _) if self.mysql => return Err("a comment".into()),
            (';', _) => return Err("the end of a statement".into()),
            ('E' | 'e', Some('\'')) if self.postgres => {
                self.rest = &self.rest[1..];
                Token::Text(self.quoted('\'', true)?)
            }
            ('\'', _) => Token::Text(self.quoted('\'', self.mysql)?),
            ('"', _) if self.mysql => return Err("a text in double quotes".into()),
            ('"', _) => Token::Name(self.quoted('"', false)?),
            ('`', _) if self.mysql => Token::Name(self.quoted('`', false)?),
            ('?', _) if !self.postgres => {
                self.rest = &self.rest[1..];
                Token::Place(None)
            }
            ('$', Some('a'..='z' | '_')) if self.postgres => Token::Text(self.block()?),
            ('$', _) if self.postgres => {
                self.rest = &self.rest[1..];
                let digits = self.word(|c| c.is_ascii_digit());
                let number = digits
                    .parse()
                    .map_err(|_| "a $ without a number".to_owned())?;
                Token::Place(Some(number))
            }
            ('a'..='z' | 'A'..='Z' | '_' | '0'..='9', _) => {
                Token::Word(self.word(|c| c.is_ascii_alphanumeric() || c == '_'))
            }
            ('[', _) if !self.postgres => return Err("a name in brackets".into()),
            (symbol, _) if "(),.*=<>!+-/%|&^~@:[]#".contains(symbol) => {
                self.rest = &self.rest[1..];
                Token::Symbol(symbol)
            }
            (other, _) => return Err(format!("{other:?} outside of quotes")),
        };
        Ok(Some(token))
    }

    /// What is between two marks like `$oxyde$`; in an anonymous block these are statements.
    fn block(&mut self) -> Result<String, String> {
        let end = self.rest[1..].find('$').ok_or("half a mark")? + 2;
        let (mark, rest) = self.rest.split_at(end);
        let (body, rest) = rest.split_once(mark).ok_or("a block that is not closed")?;
        self.rest = rest;
        let mut inner = Reader {
            rest: body,
            ..*self
        };
        while !inner.rest.is_empty() {
            match inner.next() {
                Err(why) if !inner.rest.starts_with(';') => {
                    return Err(format!("{why} in a block"));
                }
                Err(_) => inner.rest = &inner.rest[1..],
                Ok(_) => {}
            }
        }
        Ok(body.to_owned())
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    /// What is between two quotes; a doubled one stands for itself and, if `escapes`, any character behind a backslash.
    /// A NUL is not looked for: it ends no quote, and engines and servers refuse it in words of their own.
    fn quoted(&mut self, mark: char, escapes: bool) -> Result<String, String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' if escapes => {
                    let (_, escaped) = chars.next().ok_or("nothing behind a backslash")?;
                    // Whatever else a backslash stands for, we write none of it.
                    if !matches!(escaped, '\\' | '\'') {
                        return Err(format!("\\{escaped} in a text"));
                    }
                    text.push(escaped);
                }
                c if c == mark => {
                    if chars.next_if(|(_, next)| *next == mark).is_none() {
                        self.rest = &self.rest[at + 1..];
                        return Ok(text);
                    }
                    text.push(mark);
                }
                c => text.push(c),
            }
        }
        Err(format!("a {mark} that is not closed"))
    }
}

/// Checks that a text is one statement with so many parameters, which has these tokens.
pub fn statement(sql: &str, dialect: Dialect, parameters: usize) -> Vec<Token> {
    let tokens = match tokens(sql, dialect) {
        Ok(tokens) => tokens,
        Err(why) => panic!("{}: {why}\n{sql}", dialect.name()),
    };
    let places: Vec<_> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Place(number) => Some(*number),
            _ => None,
        })
        .collect();
    assert_eq!(places.len(), parameters, "{}: {sql}", dialect.name());
    if dialect == Dialect::Postgres {
        assert!(
            places.iter().copied().eq((1..=parameters).map(Some)),
            "{sql}"
        );
    }
    tokens
}
