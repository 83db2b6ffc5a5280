// A next hop made of nodemailer's smtp-server, with STARTTLS and a login. Prints its port, then a JSON line for each message and for each
// end of a connection.
//
// Arguments: a folder for messages, its certificate, its key, the user, the password. The end of standard input ends it.
"use strict";

const fs = require("fs");
const { SMTPServer } = require("smtp-server");

const [folder, certificate, key, user, password] = process.argv.slice(1);
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");
let count = 0;

const server = new SMTPServer({
    name: "next.example",
    cert: fs.readFileSync(certificate),
    key: fs.readFileSync(key),
    authMethods: ["LOGIN"],
    disableReverseLookup: true,
    size: 64 * 1024 * 1024,
    // An idle connection is closed after it.
    socketTimeout: 1000,
    onAuth(auth, session, done) {
        const good = auth.username === user && auth.password === password;
        done(good ? null : new Error("no"), good ? { user } : undefined);
    },
    onData(stream, session, done) {
        const path = `${folder}/${++count}.eml`;
        const { envelope } = session;
        const event = {
            event: "message",
            path,
            mail_from: envelope.mailFrom.address,
            recipients: envelope.rcptTo.map((recipient) => recipient.address),
            tls: session.secure,
            login: session.user,
        };
        stream.pipe(fs.createWriteStream(path)).on("finish", () => {
            say(event);
            done(null, "taken");
        });
    },
    onClose: () => say({ event: "closed" }),
});

server.on("error", (error) => process.stderr.write(`${error}\n`));
server.listen(0, "127.0.0.1", () => say({ event: "listening", port: server.server.address().port }));
process.stdin.on("end", () => process.exit(0)).resume();
