"""What is told in an emergency, in other languages than English: kept in memory, as no file may be read by then."""

from __future__ import annotations

import re

SWEDISH = {
    "The journal cannot be written. Nothing is acknowledged to the broker, which queues; no alarm can be raised from new readings.":
        "Journalen kan inte skrivas. Inget kvitteras till brokern, som köar; inga larm kan ges för nya mätvärden.",
    "Free disk space, or repair the disk or its mount; Renrum goes on by itself.":
        "Frigör diskutrymme, eller laga disken eller dess montering; Renrum fortsätter av sig självt.",
    "Ingest meets an error of its own and starts again. What it could not store stays at the broker, and raises no alarm.":
        "Mottagningen stöter på ett eget fel och börjar om. Det som inte kunde lagras ligger kvar hos brokern och ger inga larm.",
    "Look at the service's log, and report the fault.": "Se tjänstens logg och rapportera felet.",
    "No readings arrive: the broker cannot be reached, or does not deliver. What instruments send raises no alarm until it is back.":
        "Inga mätvärden kommer: brokern nås inte eller levererar inte. Det som instrumenten sänder ger inga larm förrän den är tillbaka.",
    "Look at the broker and the network; /readyz and the log say what was tried. Renrum keeps trying.":
        "Se till brokern och nätet; /readyz och loggen säger vad som prövats. Renrum fortsätter försöka.",
    "A part of the service has ended without being told to: {}. What it does is not done until the service is started again.":
        "En del av tjänsten har slutat utan att ha blivit ombedd: {}. Det den gör blir inte gjort förrän tjänsten startas om.",
    "Restart the service, and report the fault with its log.": "Starta om tjänsten och rapportera felet med dess logg.",
    "Two instances of Renrum listen and page for this site: readings are divided between them, and neither sees all.":
        "Två instanser av Renrum lyssnar och larmar för denna anläggning: mätvärdena delas mellan dem, och ingen ser alla.",
    "Stop one of them at once; /readyz says where the other one runs.": "Stoppa en av dem genast; /readyz säger var den andra kör.",
    "No step has ended for 30 s. Readings are stored, but no alarm is raised.":
        "Inget steg har blivit klart på 30 s. Mätvärden lagras, men inga larm ges.",
    "Look at the service's log; restart it if it does not recover.": "Se tjänstens logg; starta om den om den inte hämtar sig.",
    "The nightly verify found something wrong, or could not be done: what is stored or judged may not be what it should be.":
        "Nattens verifiering fann något fel eller kunde inte göras: det som är lagrat eller bedömt är kanske inte vad det borde vara.",
    "`renrum verify` names it, with what to do. Change nothing in the data_dir before.":
        "`renrum verify` säger vad, och vad som ska göras. Ändra inget i data_dir innan dess.",
    "Run `renrum verify` by hand: it proves what the nightly one could not. Report the fault with the service's log.":
        "Kör `renrum verify` för hand: det visar vad nattens inte kunde. Rapportera felet med tjänstens logg.",
    "The journal could not go on in a new file: all is stored in the one before, which cannot leave the disk when its days are sealed.":
        "Journalen kunde inte fortsätta i en ny fil: allt lagras i den förra, som inte kan lämna disken när dess dagar är förseglade.",
    "Look at the disk that holds data_dir; report the fault with the service's log.":
        "Se till disken med data_dir; rapportera felet med tjänstens logg.",
    "A channel has not taken its pages for more than five minutes: who is told by it does not hear of alarms.":
        "En kanal har inte tagit emot sina meddelanden på över fem minuter: den som nås genom den får inte veta om larm.",
    "Call who is on call. `renrum doctor` and the log name the channel, and say what it answers.":
        "Ring den som har jour. `renrum doctor` och loggen säger vilken kanal, och vad den svarar.",
    "Renrum at {} is silent: {}. As long as it is, nobody is told of excursions.":
        "Renrum på {} är tyst: {}. Så länge det är så får ingen veta om avvikelser.",
    "Look at that machine, its network and its service; watch what must not go wrong by hand.":
        "Se till den maskinen, dess nät och dess tjänst; övervaka för hand det som inte får gå fel.",
    "Renrum at {} is back. It was silent for {} min, since {}.": "Renrum på {} är tillbaka. Det var tyst i {} min, sedan {}.",
    "What instruments sent meanwhile waits at the broker and is judged now: expect late alarms.":
        "Det som instrumenten sände under tiden väntar hos brokern och bedöms nu: vänta sena larm.",
}  # fmt: skip
_PATTERNS = [
    (re.compile("(.+)".join(re.escape(part) for part in english.split("{}")), re.DOTALL), swedish) for english, swedish in SWEDISH.items()
]


def said(sentence: str, language: str) -> str:
    """A sentence in a language; in English where nobody translated it.

    >>> said("Restart the service, and report the fault with its log.", "sv")
    'Starta om tjänsten och rapportera felet med dess logg.'
    """
    if language != "sv":
        return sentence
    found = ((pattern.fullmatch(sentence), swedish) for pattern, swedish in _PATTERNS)
    return next((swedish.format(*match.groups()) for match, swedish in found if match), sentence)
