import type { LanguageData } from './language-data.ts'

export const german: LanguageData = {
  never:
    'Hr Hrn Fr Frl Fa Dr Prof med phil rer nat habil Dipl Ing Hd Hl St Bgm z.B z.Zt z.T d.h i.d.R u.a.m v.a o.g u.U s.o s.u vgl Vgl bzw sog ggf evtl inkl exkl ' +
    'bspw insb einschl zzgl abzgl ca ehem allg dgl griech franz engl urspr eigtl',
  beforeNumber: 'Nr Nrn Abb Kap Bd Bde S Ziff Abs Art Tab Anm Aufl Jg Str Tel Fn Rn',
  maybe:
    'usw usf etc u.a o.Ä o.ä u.ä u.Ä a.D i.R i.V i.A n.Chr v.Chr Chr Mio Mrd Tsd Std Min Sek Jh Jhd Str GmbH Co Hrsg Verf Jan Feb Apr Aug Sept Okt Nov Dez',
  openers:
    'Der Die Das Den Dem Des Ein Eine Einen Einem Einer Er Sie Es Wir Ihr Ich Du Sein Seine Ihre Unser Unsere Mein Meine Dieser Diese Dieses ' +
    'Jener Jene Hier Dort Dann Danach Da Doch Aber Und Oder Denn Weil Wenn Als Ob Obwohl Während Bevor Nachdem Seit Nach Vor Im In Am An Auf Aus ' +
    'Bei Mit Ohne Für Gegen Um Zu Zum Zur Von Über Unter Was Wer Wo Wie Warum Wann Welche Welcher Alle Viele Einige Man Nun Jetzt Heute Gestern ' +
    'Morgen Auch Nur So Deshalb Daher Trotzdem Nicht Kein Keine Ja Nein Bitte Später',
  afterOrdinal:
    'Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember Jahrhundert Jahrhunderts Jahrtausend Mal Klasse ' +
    'Auflage Stock Platz Tag Kapitel Band Lebensjahr Geburtstag Bundesliga Etage Runde Weltkrieg Armee Division FC',
  speech: '',
}
