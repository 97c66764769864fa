import type { LanguageData } from './language-data.ts'

export const english: LanguageData = {
  never:
    'Mr Mrs Ms Messrs Mme Mmes Mlle Dr Drs Prof Profs Rev Revd Fr Hon Gov Govs Lt Col Cols Gen Gens Maj Capt Cpl Sgt Sgts Adm Cmdr Comdr Brig ' +
    'Pvt Sen Sens Rep Reps Pres Atty Supt Insp Amb Esqr Mt Ft Pte Bros e.g i.e viz cf vs v.s eg ie approx incl resp ' +
    'a.k.a aka w.r.t Geo Wm Chas Jos Thos Jas Benj Robt Edw Saml',
  beforeNumber:
    'No Nos no nos p pp pg pgs Fig Figs Eq Eqs Vol Vols Ch Chap Sec Sect Art Ex Tab Ref Refs Op Pt Ver Rev ed n col c ca circa §',
  maybe:
    'St Sts Jr Sr Esq Inc Ltd Co Corp Cos LLC LLP plc etc al seq ibid op a.m p.m A.M P.M Ave Blvd Rd Sq Bldg Dept Univ Assn Natl Intl ' +
    'Jan Feb Apr Aug Sept Sep Oct Nov Dec Tues Thurs U.S U.K U.N E.U D.C U.S.A Ph.D M.D B.A M.A B.Sc M.Sc LL.B D.Phil J.D B.C A.D B.C.E C.E ' +
    'ft lb lbs oz yd sq cu hr hrs mi km cm mm kg mg ml misc avg MS MSS Ala Ariz Calif Colo Conn Fla Ga Ill Ind ' +
    'Kans Ky Md Mich Minn Mont Neb Nev Okla Penn Tenn Tex Va Vt Wis Wyo',
  openers:
    'The A An He She It They We You I His Her Its Their Our My Your This That These Those There Here In On At By For From With Without When ' +
    'While If As After Before Since Because Although Though Until Unless But And Or So Yet Nor Then Thus Therefore However Moreover Meanwhile ' +
    'What Who Whom Whose Where Why How Which One Some Many Most Several All Any No Not Now Later Once Another Each Every Both Either Neither ' +
    'Only Even Still Also Perhaps Maybe Please Yes To Of Is Are Was Were Do Does Did Has Have Had Can Could Will Would Should Let During ' +
    "Despite Under Over Between Among Through Today Yesterday Tomorrow Finally First Second Such It's He's She's That's There's I'm Don't Upon Never Nothing Nobody Everybody Everyone Somebody Someone",
  afterOrdinal: '',
  speech:
    'said say asked cried cry replied muttered mutter shouted answered whispered exclaimed thought called murmured inquired began ' +
    'continued repeated added gasped sobbed demanded screamed told growled stammered',
}
