import type { LanguageData } from './language-data.ts'

export const french: LanguageData = {
  never: 'MM Mme Mmes Mlle Mlles Mgr Dr Pr Ste Sts cf env boul av chap éd vs p.ex',
  beforeNumber: 'p pp no nos n° vol t fig art tél chap ann réf ch al',
  maybe: 'etc al apr J.C av janv févr juill sept oct nov déc Cie S.A R.A.T.P S.N.C.F suiv',
  openers:
    'Les Un Une Des Il Elle Ils Elles On Nous Vous Je Tu Ce Cette Ces Cet Son Sa Ses Leur Leurs Mon Ma Mes Notre Nos Votre Vos Mais Et Ou Donc ' +
    'Or Car Ni Puis Ensuite Alors Ainsi Cependant Pourtant Toutefois Quand Lorsque Si Comme Parce Puisque Dans Sur Sous Avec Sans Pour Par Chez ' +
    "Depuis Pendant Avant Après Entre Vers Qui Que Quoi Où Comment Pourquoi Quel Quelle C'est Il Tout Tous Toutes Aucun Aucune Plusieurs Ici Là " +
    "Aujourd'hui Hier Demain Enfin Non Oui L'un C’est En Au Aux",
  afterOrdinal: '',
  speech: '',
}
