//! Names to addresses: /etc/hosts, then the name servers of /etc/resolv.conf.
//!
//! A static program cannot use glibc's getaddrinfo (it loads libraries), so
//! this asks for A and AAAA itself, over UDP and, for long answers, TCP (RFC 1035).

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name as DnsName, Packet, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const PORT: u16 = 53;
const FILE_LIMIT: usize = 1 << 20;

/// What the files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolver {
    hosts: Vec<(String, IpAddr)>,
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    dots: usize,
    wait: Duration,
    attempts: usize,
}

impl Resolver {
    /// Reads the files once.
    pub(super) fn from_files() -> Self {
        let read = |path| {
            let text = fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&text[..text.len().min(FILE_LIMIT)]).into_owned()
        };
        let mut resolver = Self::parse_configuration(&read("/etc/resolv.conf"));
        resolver.hosts = parse_hosts(&read("/etc/hosts"));
        resolver
    }

    /// resolv.conf(5)
    fn parse_configuration(text: &str) -> Self {
        let mut found = Self {
            hosts: Vec::new(),
            servers: Vec::new(),
            search: Vec::new(),
            dots: 1,
            wait: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    found
                        .servers
                        .extend(address.map(|address| SocketAddr::new(address, PORT)));
                }
                Some("search" | "domain") => found.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| found.apply(option)),
                _ => {}
            }
        }
        found.servers.truncate(3);
        if found.servers.is_empty() {
            found
                .servers
                .push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        found
    }

    fn apply(&mut self, option: &str) {
        let Some((name, value)) = option.split_once(':') else {
            return;
        };
        let Ok(value) = value.parse::<usize>() else {
            return;
        };
        match name {
            "ndots" => self.dots = value.min(15),
            "timeout" => self.wait = Duration::from_secs(value.clamp(1, 30) as u64),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// The names to ask for, in order: with the search list first when there are few dots.
    fn candidates(&self, name: &str) -> Vec<String> {
        let absolute = name.trim_end_matches('.').to_owned();
        if name.ends_with('.') {
            return vec![absolute];
        }
        let mut names: Vec<String> = self
            .search
            .iter()
            .map(|domain| format!("{absolute}.{}", domain.trim_matches('.')))
            .collect();
        let enough_dots = absolute.matches('.').count() >= self.dots;
        names.insert(if enough_dots { 0 } else { names.len() }, absolute);
        names
    }

    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let known = self
            .hosts
            .iter()
            .filter(|(host, _)| host.eq_ignore_ascii_case(name));
        let known: Vec<IpAddr> = known.map(|(_, address)| *address).collect();
        if !known.is_empty() {
            return Ok(known);
        }
        let mut failure = io::Error::new(io::ErrorKind::NotFound, format!("no such host: {name}"));
        for candidate in self.candidates(name) {
            match self.ask_servers(&candidate).await {
                Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
                Ok(_) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn ask_servers(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut failure = None;
        for _ in 0..self.attempts {
            for server in &self.servers {
                let asked = async {
                    tokio::join!(
                        self.ask(*server, name, TYPE::A),
                        self.ask(*server, name, TYPE::AAAA)
                    )
                };
                match asked.await {
                    (Ok(mut four), six) => {
                        four.extend(six.unwrap_or_default());
                        return Ok(four);
                    }
                    (Err(_), Ok(six)) if !six.is_empty() => return Ok(six),
                    (Err(error), _) => {
                        let text = format!("name server {} for {name}: {error}", server.ip());
                        failure = Some(io::Error::new(error.kind(), text));
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| io::Error::other("no name server")))
    }

    async fn ask(&self, server: SocketAddr, name: &str, kind: TYPE) -> io::Result<Vec<IpAddr>> {
        let query = query(name, kind)?;
        let answer = timeout(self.wait, over_udp(server, &query))
            .await
            .map_err(|_| timed_out())??;
        match read_answer(&query, &answer)? {
            Some(addresses) => Ok(addresses),
            None => {
                let answer = timeout(self.wait, over_tcp(server, &query))
                    .await
                    .map_err(|_| timed_out())??;
                Ok(read_answer(&query, &answer)?.unwrap_or_default())
            }
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.look_up(name.as_str()).await?;
            let addresses = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

fn parse_hosts(text: &str) -> Vec<(String, IpAddr)> {
    let mut hosts = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        if let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) {
            hosts.extend(words.map(|host| (host.to_owned(), address)));
        }
    }
    hosts
}

fn query(name: &str, kind: TYPE) -> io::Result<Vec<u8>> {
    let mut id = [0u8; 2];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())?;
    let mut packet = Packet::new_query(u16::from_ne_bytes(id));
    packet.set_flags(simple_dns::PacketFlag::RECURSION_DESIRED);
    let name = DnsName::new(name)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    packet.questions.push(Question::new(
        name,
        QTYPE::TYPE(kind),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet
        .build_bytes_vec()
        .map_err(|error| io::Error::other(error.to_string()))
}

/// The port is new for each question, and only this server may answer.
async fn over_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut answer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut answer).await?;
        if length >= 12 && answer[..2] == query[..2] {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes()[..], query].concat())
        .await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// The addresses; `None` when the answer was cut and TCP has to be used.
fn read_answer(query: &[u8], bytes: &[u8]) -> io::Result<Option<Vec<IpAddr>>> {
    let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let packet = Packet::parse(bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.get(..2) != query.get(..2) {
        return Err(wrong("an answer to another question".to_owned()));
    }
    if packet.has_flags(simple_dns::PacketFlag::TRUNCATION) {
        return Ok(None);
    }
    match packet.rcode() {
        RCODE::NoError | RCODE::NameError => {}
        code => return Err(wrong(format!("it answers {code:?}"))),
    }
    let addresses = packet
        .answers
        .iter()
        .filter_map(|record| match &record.rdata {
            RData::A(four) => Some(IpAddr::V4(Ipv4Addr::from(four.address))),
            RData::AAAA(six) => Some(IpAddr::V6(Ipv6Addr::from(six.address))),
            _ => None,
        });
    Ok(Some(addresses.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_the_manual_pages_say() {
        let resolver = Resolver::parse_configuration(
            "# x\nnameserver 10.0.0.1\nnameserver ::1\nsearch a.test b.test\noptions ndots:2 timeout:1 attempts:3 rotate\n",
        );
        assert_eq!(
            resolver.servers,
            ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]
        );
        assert_eq!(
            resolver.candidates("host"),
            ["host.a.test", "host.b.test", "host"]
        );
        assert_eq!(resolver.candidates("x.y.z")[0], "x.y.z");
        assert_eq!(resolver.candidates("x.y."), ["x.y"]);
        assert_eq!(resolver.wait, Duration::from_secs(1));
        let hosts = parse_hosts("127.0.0.1 localhost # c\n::1 ip6-localhost six\nbroken line\n");
        assert_eq!(hosts.len(), 3);
        assert_eq!(
            Resolver::parse_configuration("").servers,
            ["127.0.0.1:53".parse().unwrap()]
        );
    }

    #[tokio::test]
    async fn a_server_is_asked_and_answers() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let mut bytes = vec![0; 512];
                let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
                let query = Packet::parse(&bytes[..length]).unwrap();
                let mut answer = Packet::new_reply(query.id());
                answer.questions = query.questions.clone();
                let question = &query.questions[0];
                if question.qtype == QTYPE::TYPE(TYPE::A)
                    && question.qname.to_string() == "reg.test"
                {
                    let address = RData::A(simple_dns::rdata::A {
                        address: 0x7f00_0002,
                    });
                    answer.answers.push(simple_dns::ResourceRecord::new(
                        question.qname.clone(),
                        CLASS::IN,
                        1,
                        address,
                    ));
                }
                socket
                    .send_to(&answer.build_bytes_vec().unwrap(), from)
                    .await
                    .unwrap();
            }
        });
        let mut resolver = Resolver::parse_configuration("");
        resolver.servers = vec![server];
        assert_eq!(
            resolver.look_up("reg.test").await.unwrap(),
            ["127.0.0.2".parse::<IpAddr>().unwrap()]
        );
        assert!(resolver.look_up("other.test").await.is_err());
        assert_eq!(resolver.look_up("localhost").await.unwrap().len(), 2);
    }
}
