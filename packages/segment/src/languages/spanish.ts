import type { LanguageData } from './language-data.ts'

export const spanish: LanguageData = {
  never:
    'Sr Sra Srta Sres Sras Dr Dra Dres D Dña Ing Lic Arq Prof Profa Gral Cnel Tte Fr Sto Sta Excmo Excma Ilmo Ilma Mons p.ej ej aprox',
  beforeNumber: 'pág págs núm núms art arts cap vol tomo fig tel Tel apdo n.º',
  maybe:
    'etc Ud Uds Vd Vds EE UU EE.UU a.C d.C a.m p.m S.A S.L Cía Av Avda ene feb abr jun jul sept oct nov dic admón depto',
  openers:
    'Un Una Unos Unas Él Ella Ellos Ellas Nosotros Usted Ustedes Yo Tú Este Esta Estos Estas Ese Esa Aquel Aquella Su Sus Mi Mis Tu Nuestro ' +
    'Nuestra Pero Y O Ni Porque Aunque Cuando Mientras Si Como Sin Con Para Por En Desde Hasta Entre Sobre Según Tras Ante Durante Después Antes ' +
    'Luego Entonces Además También Así Ahora Hoy Ayer Mañana Aquí Allí Qué Quién Dónde Cómo Cuándo Cuál Todo Todos Todas Muchos Algunos Ninguno ' +
    'No Sí Al Del Lo Se Es Son Fue Era Hay Ya Quizá Tal',
  afterOrdinal: '',
  speech: '',
}
